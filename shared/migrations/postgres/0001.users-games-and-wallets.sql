-- Every statement can be repeated: a run may die between a migration and the note that it was done.

-- Who bets, on what, and with which money.

CREATE TABLE IF NOT EXISTS users (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    username   text NOT NULL UNIQUE,
    email      text NOT NULL UNIQUE,
    first_name text NOT NULL,
    last_name  text NOT NULL,
    status     text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'closed')),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS games (
    id         uuid PRIMARY KEY DEFAULT uuidv7(),
    name       text NOT NULL,
    type       text NOT NULL,
    status     text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed', 'settled')),
    starts_at  timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One narrow row a user. Nothing indexed ever changes and half of each page is left free, so an
-- update stays on its page and touches no index.
CREATE TABLE IF NOT EXISTS wallets (
    user_id    uuid PRIMARY KEY REFERENCES users (id),
    balance    numeric(18, 2) NOT NULL DEFAULT 0
               CHECK (balance >= 0 AND balance < 1000000000000),
    bet_count  bigint NOT NULL DEFAULT 0 CHECK (bet_count >= 0),
    currency   text NOT NULL DEFAULT 'EUR' CHECK (currency = 'EUR'),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
