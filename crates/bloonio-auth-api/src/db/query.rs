//! A statement with its values, and the ways to run it.

use std::borrow::Cow;

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Postgres, Sqlite};

use super::{Column, Engine, On, Pool, Row, Value};

/// A statement, not yet run.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is run"]
pub struct Query {
    sqlite: Cow<'static, str>,
    postgres: Option<Cow<'static, str>>,
    values: Vec<Value>,
}

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done(u64);

impl Done {
    /// How many rows it changed.
    pub fn rows_affected(self) -> u64 {
        self.0
    }
}

/// A statement in words that both engines know. It is put together from the program's own texts alone: what comes from
/// outside is bound as a value.
pub fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query { sqlite: sql.into(), postgres: None, values: Vec::new() }
}

/// A statement for which each engine has words of its own.
pub fn query_for(sqlite: impl Into<Cow<'static, str>>, postgres: impl Into<Cow<'static, str>>) -> Query {
    Query { sqlite: sqlite.into(), postgres: Some(postgres.into()), values: Vec::new() }
}

/// A statement over the rows of a JSON array of arrays that is bound to `placeholder`, in the words of `engine`, which `sql`
/// has from [`Rows`]. However many rows there are, it is one statement, of one text.
pub fn query_rows(engine: Engine, placeholder: &'static str, sql: impl FnOnce(Rows) -> String) -> Query {
    query(sql(Rows { engine, placeholder }))
}

/// The rows that a statement is over, and their cells, counted from 0. `null` is NULL.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    engine: Engine,
    placeholder: &'static str,
}

impl Rows {
    /// Behind FROM: the rows, in their order.
    pub fn table(self) -> String {
        match self.engine {
            Engine::Sqlite => format!("json_each({}) AS j", self.placeholder),
            Engine::Postgres => format!("jsonb_array_elements(CAST({} AS jsonb)) AS j (value)", self.placeholder),
        }
    }

    /// A cell that is a text.
    pub fn text(self, cell: usize) -> String {
        format!("j.value ->> {cell}")
    }

    /// A cell that is a whole number.
    pub fn whole(self, cell: usize) -> String {
        format!("CAST(j.value ->> {cell} AS BIGINT)")
    }

    /// A cell that is bytes, as hex.
    pub fn bytes(self, cell: usize) -> String {
        match self.engine {
            Engine::Sqlite => format!("unhex(j.value ->> {cell})"),
            Engine::Postgres => format!("decode(j.value ->> {cell}, 'hex')"),
        }
    }
}

type ForSqlite = sqlx::query::Query<'static, Sqlite, SqliteArguments>;
type ForPostgres = sqlx::query::Query<'static, Postgres, PgArguments>;

/// Runs the query by one of sqlx's methods on whatever it shall run on, and maps what comes back by engine.
macro_rules! run {
    ($query:expr, $on:expr, $method:ident, $of_sqlite:expr, $of_postgres:expr) => {
        match $on {
            On::Pool(Pool::Sqlite(pool)) => $query.for_sqlite().$method(pool).await.map($of_sqlite),
            On::Pool(Pool::Postgres(pool)) => $query.for_postgres().$method(pool).await.map($of_postgres),
            On::Sqlite(connection) => $query.for_sqlite().$method(connection).await.map($of_sqlite),
            On::Postgres(connection) => $query.for_postgres().$method(connection).await.map($of_postgres),
        }
    };
}

impl Query {
    /// Binds the next placeholder's value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The text for an engine.
    pub fn text(&self, engine: Engine) -> &str {
        match (engine, &self.postgres) {
            (Engine::Postgres, Some(text)) => text,
            _ => &self.sqlite,
        }
    }

    fn for_sqlite(self) -> ForSqlite {
        self.values.into_iter().fold(sqlx::query(AssertSqlSafe(self.sqlite)), |query, value| match value {
            Value::Whole(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }

    fn for_postgres(self) -> ForPostgres {
        let text = self.postgres.unwrap_or(self.sqlite);
        self.values.into_iter().fold(sqlx::query(AssertSqlSafe(text)), |query, value| match value {
            Value::Whole(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }

    /// Runs it; tells how many rows were changed.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn execute<'c>(self, on: impl Into<On<'c>>) -> Result<Done, sqlx::Error> {
        run!(self, on.into(), execute, |done| Done(done.rows_affected()), |done| Done(done.rows_affected()))
    }

    /// Its rows.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn fetch_all<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<Row>, sqlx::Error> {
        run!(self, on.into(), fetch_all, |rows| rows.into_iter().map(Row::Sqlite).collect(), |rows| rows
            .into_iter()
            .map(Row::Postgres)
            .collect())
    }

    /// Its first row, if there is one.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn fetch_optional<'c>(self, on: impl Into<On<'c>>) -> Result<Option<Row>, sqlx::Error> {
        run!(self, on.into(), fetch_optional, |row| row.map(Row::Sqlite), |row| row.map(Row::Postgres))
    }

    /// Its only row.
    ///
    /// # Errors
    /// [`sqlx::Error`], also if there is none.
    pub async fn fetch_one<'c>(self, on: impl Into<On<'c>>) -> Result<Row, sqlx::Error> {
        run!(self, on.into(), fetch_one, Row::Sqlite, Row::Postgres)
    }

    /// The first column of its first row, if there is one.
    ///
    /// # Errors
    /// [`sqlx::Error`].
    pub async fn fetch_value<'c, T: Column>(self, on: impl Into<On<'c>>) -> Result<Option<T>, sqlx::Error> {
        self.fetch_optional(on).await?.map(|row| row.at(0)).transpose()
    }
}
