-- A small shop: made once, by a superuser, in a database of its own. Every figure is invented.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE SCHEMA app;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE TABLE app.customers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL UNIQUE,
    phone       text,
    city        text NOT NULL,
    birth_date  date,
    ssn         text NOT NULL,
    card_number text,
    created_at  timestamptz NOT NULL
);

CREATE TABLE app.addresses (
    id          serial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES app.customers,
    street      text NOT NULL,
    city        text NOT NULL,
    postcode    text NOT NULL
);

CREATE TABLE app.orders (
    id          serial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES app.customers,
    status      text NOT NULL CHECK (status IN ('new', 'paid', 'shipped', 'returned')),
    total       numeric(10, 2) NOT NULL,
    placed_at   timestamptz NOT NULL
);

CREATE TABLE app.payments (
    id       serial PRIMARY KEY,
    order_id integer NOT NULL REFERENCES app.orders,
    method   text NOT NULL,
    amount   numeric(10, 2) NOT NULL,
    iban     text,
    paid_at  timestamptz NOT NULL
);

CREATE TABLE app.logs (
    id      bigserial PRIMARY KEY,
    at      timestamptz NOT NULL,
    level   text NOT NULL,
    message text NOT NULL
);

INSERT INTO app.customers (name, email, phone, city, birth_date, ssn, card_number, created_at)
SELECT first || ' ' || last,
       lower(first) || '.' || lower(last) || n || '@example.com',
       '+49 30 ' || lpad((n * 7919 % 10000000)::text, 7, '0'),
       (ARRAY['Berlin', 'Lisbon', 'Oslo', 'Turin', 'Gdansk', 'Lyon'])[1 + n % 6],
       date '1960-01-01' + (n * 37 % 16000),
       lpad((n * 7 % 900)::text, 3, '0') || '-' || lpad((n % 90)::text, 2, '0') || '-'
           || lpad((n * 31 % 10000)::text, 4, '0'),
       '4000 0000 0000 ' || lpad((n * 97 % 10000)::text, 4, '0'),
       timestamptz '2026-01-01 08:00+00' + n * interval '7 hours'
FROM generate_series(1, 240) AS n,
     LATERAL (SELECT (ARRAY['Ada', 'Boris', 'Chiara', 'Dmitri', 'Elif', 'Femi', 'Greta', 'Hugo'])
                     [1 + n % 8] AS first,
                     (ARRAY['Moreau', 'Nowak', 'Okafor', 'Petrov', 'Quist', 'Rossi', 'Silva'])
                     [1 + n % 7] AS last) AS names;

INSERT INTO app.addresses (customer_id, street, city, postcode)
SELECT id, 'Market Street ' || id, city, lpad((id * 113 % 100000)::text, 5, '0') FROM app.customers;

INSERT INTO app.orders (customer_id, status, total, placed_at)
SELECT 1 + n * 17 % 240,
       (ARRAY['new', 'paid', 'shipped', 'returned'])[1 + n % 4],
       (n * 1319 % 50000) / 100.0,
       timestamptz '2026-03-01 09:00+00' + n * interval '95 minutes'
FROM generate_series(1, 600) AS n;

INSERT INTO app.payments (order_id, method, amount, iban, paid_at)
SELECT id, (ARRAY['card', 'transfer', 'invoice'])[1 + id % 3], total,
       'DE' || lpad((id * 7927 % 100)::text, 2, '0') || '50010517' || lpad(id::text, 10, '0'),
       placed_at + interval '5 minutes'
FROM app.orders WHERE status <> 'new';

INSERT INTO app.logs (at, level, message)
SELECT timestamptz '2026-06-01 00:00+00' + n * interval '11 minutes',
       (ARRAY['info', 'info', 'warning', 'error'])[1 + n % 4],
       'job ' || n % 23 || ' finished in ' || n * 13 % 900 || ' ms'
FROM generate_series(1, 300) AS n;

ANALYZE;
