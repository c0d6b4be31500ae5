"""What `jit init` writes: a catalog to edit, and every setting with its meaning."""

CATALOG = """\
# Who may ask for what, and who decides. What is not written here is denied.
# `jit catalog lint` checks this file; docs/catalog.md explains every key.
# Editors complete it once `jit catalog schema > catalog.schema.json` was run beside it.
# yaml-language-server: $schema=catalog.schema.json
channels: {approvals: "#db-access", audit: "#db-audit"}   # invite the bot to both
digest: {at: "09:00", zone: UTC}

targets:
  shop: {url_env: SHOP_DATABASE_URL, environment: production}

entitlements:
  read_customer_data:
    target: shop
    description: Customers without their secrets
    sensitivity: personal data
    scope:
      - {table: app.customers, columns: [id, name, email, city], can: read}
    requesters: [everyone]            # every full member of the workspace
    approval: data-owners
    default_duration: 30m
    max_duration: 4h

rules:
  data-owners:
    approvers: ["@data-owners"]       # a user group; also "#channel", an e-mail, an account id
    auto_approve_up_to: 15m           # leave out to ask people always
"""

ENV = """\
# Settings of jit. Copy to `.env` (`jit init` does) and fill in; the environment beats this file.
# Keep `.env` private: it holds secrets.

# The bot's token: Slack app, "OAuth & Permissions", Bot User OAuth Token.
SLACK_BOT_TOKEN=xoxb-your-bot-token

# The app-level token with connections:write, for Socket Mode: "Basic Information", App-Level Tokens.
SLACK_APP_TOKEN=xapp-your-app-token

# The signing secret: "Basic Information". Socket Mode does not need it.
# SLACK_SIGNING_SECRET=your-signing-secret

# A Slack-compatible server instead of Slack itself. Default: https://slack.com/api/
# SLACK_API_URL=https://slack.com/api/

# The URL of a target, in the variable that its catalog entry names (url_env). One line a target.
# The user is the bot's own role, which the SQL of `jit bootstrap` makes.
SHOP_DATABASE_URL=postgresql://jit_bot:your-password@db.example.com:5432/shop?sslmode=verify-full

# Where the record is kept. Default: the SQLite file jit.sqlite3 in the working directory.
# JIT_DATABASE_URL=postgresql://jit:your-password@db.example.com:5432/jit
# JIT_DATABASE_URL=sqlite:////var/lib/jit/jit.sqlite3

# The catalog file. Default: catalog.yml in the working directory.
# JIT_CATALOG=catalog.yml

# A key of at least 16 characters that seals the audit chain, so that somebody who can write to the
# record cannot rewrite it unseen. Keep it elsewhere too: `jit audit verify` needs it.
# JIT_AUDIT_KEY=your-random-key

# How much is logged: debug, info, warning or error; with ",json" after it for machines. Default: info
# JIT_LOG=info,json

# Where alarms are posted as JSON, when the catalog's `alarms` names this variable. https only, except
# on this machine. Keep it private: who knows it can post there.
# JIT_ALARM_WEBHOOK=https://alerts.example.com/hooks/your-hook

# For `jit sweep` alone: the URL of the server it looks at, as the bot's role.
# JIT_SWEEP_URL=postgresql://jit_bot:your-password@db.example.com:5432/shop?sslmode=verify-full

# For `jit demo` alone: the folder of PostgreSQL's programs (initdb, pg_ctl), version 15 or newer,
# or `installed` to look for them. Default: the PostgreSQL that comes with the demo.
# JIT_PG_BIN=/usr/lib/postgresql/17/bin
"""
