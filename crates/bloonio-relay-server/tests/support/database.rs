//! A test's own database: a SQLite file, or a fresh database on the PostgreSQL server that `BLOONIO_TEST_POSTGRES` names.
//! `cargo xtask test` runs these tests once on each.

use std::path::Path;

use bloonio_relay_server::storage::Storage;
use bloonio_relay_server::storage::db::{Pool, query};
use bloonio_wire::random::{SystemRandom, hex_token};
use futures_util::StreamExt;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use url::Url;

/// Names the server: `postgres://USER@HOST:PORT/postgres`, of a user who may create databases.
pub const SERVER: &str = "BLOONIO_TEST_POSTGRES";

/// A database that nobody else uses.
pub struct TestDatabase {
    folder: TempDir,
    /// On PostgreSQL.
    url: Option<String>,
}

impl TestDatabase {
    /// Makes it; it is empty.
    pub async fn new() -> Self {
        let folder = TempDir::new().expect("temporary folder");
        let url = match std::env::var(SERVER) {
            Ok(server) => Some(create(&server).await),
            Err(_) => None,
        };
        Self { folder, url }
    }

    /// Opens it, migrated.
    pub async fn open(&self) -> Storage {
        let storage = match &self.url {
            Some(url) => Storage::open(url).await,
            None => Storage::open_file(&self.folder.path().join("relay.db")).await,
        };
        let storage = storage.expect("database");
        storage.migrate().await.expect("migration");
        storage
    }

    /// The folder beside it; a SQLite file lies in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything in it, byte for byte: the file, or every table as PostgreSQL copies it out, with bytes as they are.
    pub async fn dump(&self) -> Vec<u8> {
        let Some(url) = &self.url else {
            let files = std::fs::read_dir(self.folder()).expect("the folder");
            let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.expect("a file").path());
            return files.flat_map(|entry| read(entry).expect("its bytes")).collect();
        };
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await.expect("the database");
        let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        let tables = query(tables).fetch_all(&Pool::Postgres(pool.clone())).await.expect("its tables");
        let mut connection = pool.acquire().await.expect("a connection");
        let mut bytes = Vec::new();
        for table in tables {
            let copy = format!("COPY {} TO STDOUT (FORMAT binary)", table.at::<String>(0).expect("a name"));
            let mut stream = connection.copy_out_raw(&copy).await.expect("a copy");
            while let Some(part) = stream.next().await {
                bytes.extend_from_slice(&part.expect("its bytes"));
            }
        }
        bytes
    }

    /// Whether it is on PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.url.is_some()
    }

    /// What `RELAY_DATABASE_URL` must say for a relay of its own process to use it; `None` for the folder's file.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

/// What tells the order in which rows of a table were written, where nothing was deleted.
pub fn birth_order(storage: &Storage) -> &'static str {
    if storage.is_shared() { "ctid" } else { "rowid" }
}

async fn create(server: &str) -> String {
    let name = format!("relay_{}", hex_token::<8>(&SystemRandom).expect("randomness"));
    let pool = PgPoolOptions::new().max_connections(1).connect(server).await.expect("the PostgreSQL server");
    let pool = Pool::Postgres(pool);
    query(format!("CREATE DATABASE {name}")).execute(&pool).await.expect("a fresh database");
    pool.close().await;
    let mut url = Url::parse(server).expect("a URL");
    url.set_path(&name);
    url.into()
}
