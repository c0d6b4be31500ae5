"""How it is measured, and what the figures cannot say: the part of the page that no run changes."""

TEXT = """## Method

`make bench ARGS=--keep` measures everything in one go, in about half an hour on a machine with nothing
else to do; `make bench CASE=grant` one case alone; `make bench-smoke`, within a minute, only what noise
cannot touch. `ARGS="--keep --resume"` leaves out what was kept of this size and of the same code,
`ARGS="--size small"` is for trying it.

- Every run brings its own PostgreSQL servers (fsync on, SCRAM, loopback TCP), its own record on SQLite
  and on PostgreSQL, and OpenBao where its wheel can be had. Nothing else is needed.
- Implementations take turns round by round, each round beginning with another; the first tenth of the
  rounds is left out, at least one. Medians and p95 are of what is left. Only ratios within one case mean
  anything: milliseconds change by half between runs of the same machine.
- In *grant*, *lifecycles* and *tables* the ways that give tables directly (vault-sql, openbao-direct) take
  their turns apart, after all others; catalogues are vacuumed before the first round and after the last.
  Each direct grant and revocation changes the schema, so that the server throws away what every connection
  has planned, and each revocation writes the row of every table anew, which our search for what is left
  then reads. Ours would pay most for that, as no other way looks. What it costs to work beside them is a
  case of its own, *beside*: the whole of it, and each part by itself.
- A ratio of medians is told with the interval that holds 95 of 100 repetitions of its own rounds, drawn
  again and again; of the three turns of *lifecycles* and the five of the kill switch that is hardly more
  than their spread. A goal is **undecided** when its bound lies in that interval; for a figure without one,
  when it lies within 5 % of its bound; and when it was met at a smaller size than the goal names, which is
  told with both sizes. What is counted (lost, doubled, failed, bytes of ACLs, turns on the wire) is exact.
- Where raw SQL itself, in the same run, does not reach what a goal asks for, its row says so, and which.

Who is compared:

- **ours** is the engine by its public API, as its unprivileged bot: create and verify, then a password;
  close, then remove and search every catalogue for what is left. **ours-service** adds decision, record,
  audit and messages.
- **raw-superuser** is the physical limit: one connection a client, one membership; shut, cut, drop. No
  record, no audit, no proof. Its SCRAM verifier is made beforehand and used again and again.
- **raw** runs the same statements as an unprivileged bot that makes its roles itself. From PostgreSQL 16
  on whoever makes a role administers it, and with each later statement about a role the server works out
  anew all that they administer. Our engine has its role statements run by functions of the bootstrap,
  which a superuser owns: it no longer pays for that walk, this bot does. **raw-superuser** does not.
- **raw-scram** is raw-superuser with a fresh password and verifier for each grant, as whoever gives a
  password out must make them who keeps it from the server and its log: 4,096 rounds of PBKDF2 by the
  client, besides the server's own. So do ours; OpenBao need not, see below.
- **raw-recorded** is raw-superuser with the least that a service must not lose, in *grant*: for a grant two
  commits on its record (meant, done), for an end three (meant, closed, removed), one row of a grant and one
  of an event each, on SQLite waiting for the disk as ours does. What a goal asks of **ours-service** beyond
  that, its row says.
- **raw-batches** is raw-superuser ending by the hundred, where many end at once: one turn on the wire
  shuts them, one cuts, one drops.
- **vault-sql** is Vault's documented direct grants and revocation, as a superuser. **teleport-sql** is
  Teleport's procedure, as that bot; it never ends a session. **apscheduler** is one persistent job a
  grant, which ends it by raw SQL as a superuser, with the default grace of a second, and without
  limit. **sweeper** ends in the same way what it finds due at each turn.
- **openbao** is the real server by HTTP, twice. **durable** is OpenBao as anybody has it, with integrated
  storage (raft) of a single node: every lease is on the disk before it is given out. In each run the server
  is killed before it is measured, and must still know a lease it gave. **memory** is its development mode:
  it waits for no disk, and forgets every lease when it stops. Nobody can end access by it after that; it is
  there as the extreme. All else is the same, and in its favour: no TLS, no audit device, no line in its log
  for a lease that ends, its root token, a superuser's connection, connections kept, raft's fastest timing
  and never a snapshot. Its passwords go to PostgreSQL as they are, which is its default; when it was tried
  with hashing them itself, it was slower.
- Its *membership* has revocation statements of two lines, cut and drop: nothing forbids a login between
  them, and it does not look whether a session is left. *direct* is as documented. *spread* is membership
  with four connections configured to the one database, each client using its own: its plugin makes and ends
  roles of one connection one after the other. It is quicker, documented nowhere, and told for information.
  In *lifecycles* all of them run with four clients, by which they are judged.

What is fair to compare; each row of ours beside OpenBao, in G3 and G11, begins with it:

- **like with like**: **ours-service** by OpenBao, durable: both have on the disk what they must not lose. Or
  **ours**, the engine by itself, by OpenBao in memory: neither keeps a record.
- **extreme**: **ours-service** by OpenBao in memory. One waits for the disk, the other for nothing.
- **in our favour**: **ours** by OpenBao, durable. One keeps no record, the other does.

Ours-service decides, records who did what and proves that a role is gone; OpenBao does none of that in
any row, and its time is that of a server with an HTTP door, of which ours has none.

How some cases work:

- In *lifecycles*, **ours-service** begins where somebody has approved: the decisions are taken before the
  time begins. It is run with its record on SQLite.
- Many ends in one instant (bursts, the kill switch) are run five times by turns, each round beginning with
  another record or another peer, ten thousand four times; raw SQL's are run once, before them. Beside
  others their median counts, against the clock the latest of all.
- Records and catalogues that were filled for a measure are vacuumed, analysed and checkpointed before it,
  also those that raw SQL works on: in service they stand so for hours. Without that autovacuum and the
  checkpointer come just while something is measured, or not, and until they come the server plans as for
  empty tables.
- One and four processes on one record take three turns of five bursts in a row. The first of each five is
  left out but for what it lost or doubled: in it every process connects and prepares its statements, which
  with four on two cores takes as long as the burst.
- A chain is verified seven times, digests between; the first time is left out.
- The kill switch is told thrice: from the moment the order is on the record until nobody has access any
  more (no login, no session), and until every role is removed and that is proven; and from the command on,
  which adds the start of a Python process. The peer's order is measured from its HTTP request until it
  answers that all are ended (queued, as it also can be, it ended them no sooner when it was tried), raw
  SQL's from its first statement, by two workers as ours has for a target. OpenBao as documented is given
  100 leases and judged by its rate: a thousand would take it half a minute, five times over.
- The last door of a burst is when nobody has access any more, ended by the batch; *raw SQL one by one* drops
  the roles as well. Beside raw SQL by the batch it stands in the case.
- *access-ended* is the end as its user waits for it: until nobody can log in, nobody is logged in, and that
  is on the record. It is measured by all of raw SQL's end, which drops the role as well.
- The target's catalogue (*hygiene*) levels off at what is written between two turns of autovacuum, and at
  full speed 10,000 cycles fit into its default pause of a minute: then chance alone says whether a turn
  falls among them. So on a server of its own, from catalogues without a dead row on, `autovacuum_naptime` is
  15 s, and the cycles go on until autovacuum has had four turns at the catalogue that is written to most.
  Their row tells how many cycles lay between two: ten times as many as a company of 100,000 engineers makes
  in a minute of its peak hour (*companies*, 2.5 a second). What the second half of them adds is the growth
  that would go on; what a cycle writes with autovacuum off is told beside raw SQL's.
- *dispatch* is beside Bolt as its tutorial makes it, which looks each 10 ms whether its listener's thread has
  acknowledged; our listeners acknowledge on the thread that took the command. The gain is that setting,
  and Bolt with it is told beside.
- The roles of many grants are made in bulk as the engine leaves them, which a test compares.
- Big records are made of honest rows: a life that was really lived by the use cases, written again with
  other ids, people and times, and linked into the chain.
- Every case with a record ends with the invariants of [architecture.md](architecture.md), checked from
  outside on the record, the server and what was said. A violation breaks the case off.

### Limits

- All on one machine, which also runs the clients: rates are of client and server together.
- With a millisecond of network every turn on the wire costs one more; `make bench-smoke` counts turns.
- The clients are Python's, psycopg's and http.client's; their work counts for whom they work for.
- The disk is a quick one: a commit that waits for it takes 0.2 to 0.3 ms (*audit*, append, raw). On a slower
  one whoever waits more often loses more: ours-service once for each transaction on the record that
  `make bench-smoke` counts; OpenBao, durable, for an entry of its log each time it writes; in memory never.
- OpenBao's bursts are spread over the time its leases took to make; it cannot be given one instant. They are
  of the one in memory.
- Twenty single ends are measured for lateness: the latest of them stands for the p99.
- The sweeper is run each 3 s; what one of 60 s comes to is worked out from that.
- The 100,000 others that wait while one ends are on targets in memory, five thousand each.
- Raw SQL as the bot ends no more than 1,000 in a burst: ten thousand would take it minutes.
- Slack is the local workspace: its limits and refusals are real, its distance is not.
"""
