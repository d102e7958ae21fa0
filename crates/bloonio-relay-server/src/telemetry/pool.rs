//! The connections to the database, read when somebody looks.

use crate::storage::Storage;
use crate::storage::db::Pool;

use super::metrics::DATABASE_CONNECTIONS;

/// Reads how many connections are open, and how many of them nobody uses.
pub fn sample(storage: &Storage) {
    note("read", storage.readers());
    note("write", storage.writer());
}

fn note(pool: &'static str, connections: &Pool) {
    let (open, idle) = match connections {
        Pool::Sqlite(pool) => (pool.size(), pool.num_idle()),
        Pool::Postgres(pool) => (pool.size(), pool.num_idle()),
    };
    metrics::gauge!(DATABASE_CONNECTIONS, "pool" => pool, "state" => "idle").set(idle as f64);
    metrics::gauge!(DATABASE_CONNECTIONS, "pool" => pool, "state" => "open").set(f64::from(open));
}
