//! `with-postgres COMMAND…`: runs a command beside a private PostgreSQL server, named to it by `BLOONIO_TEST_POSTGRES`.

use std::process::{Command, ExitCode};

use bloonio_tests::postgres::PostgresServer;

#[tokio::main]
async fn main() -> ExitCode {
    let line: Vec<_> = std::env::args_os().skip(1).collect();
    let Some((program, arguments)) = line.split_first() else {
        eprintln!("usage: with-postgres COMMAND [ARGUMENT…]");
        return ExitCode::FAILURE;
    };
    let server = PostgresServer::start_hasty().await;
    let status = Command::new(program).args(arguments).env("BLOONIO_TEST_POSTGRES", server.url()).status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {} does not start: {error}", program.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}
