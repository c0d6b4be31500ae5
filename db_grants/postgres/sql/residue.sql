-- What is found to mention a role, and how often: no row when nothing does.
WITH since AS MATERIALIZED (
{since}
)
SELECT what, count(*) AS n
  FROM (
{found}
       ) AS found (what)
 GROUP BY what
