DROP TABLE IF EXISTS wallet_transactions;
DROP TABLE IF EXISTS bets;
