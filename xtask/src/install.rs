//! The programs that tests start and cargo does not build: installed where they are missing and this may be done.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, and the Debian package that has it.
struct Program {
    name: &'static str,
    package: &'static str,
    wanted_by: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { name: "chromium", package: "chromium", wanted_by: "the browser tests" },
    Program { name: "chromedriver", package: "chromium-driver", wanted_by: "the browser tests" },
    Program { name: "nginx", package: "nginx-light", wanted_by: "the tests of what is deployed" },
    Program { name: "node", package: "nodejs", wanted_by: "the tests with backends in JavaScript" },
    Program { name: "npm", package: "npm", wanted_by: "the tests with backends in JavaScript" },
    Program { name: "python3", package: "python3", wanted_by: "the tests with backends in Python" },
    Program { name: "psql", package: "postgresql", wanted_by: "the tests of the relay on PostgreSQL" },
    Program { name: "redis-cli", package: "redis-tools", wanted_by: "the tests of the Redis store" },
    Program { name: "redis-server", package: "redis-server", wanted_by: "the tests of the Redis store" },
];

/// Installs what is missing by apt as root, and says what to install elsewhere; the tests that want it then fail.
pub fn missing_programs() {
    let missing: Vec<_> = PROGRAMS.iter().filter(|program| !is_there(program.name)).collect();
    if missing.is_empty() {
        return;
    }
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    if packages_of_debian(&packages) {
        return;
    }
    for program in missing {
        eprintln!("{} is missing: {} need Debian's package {}", program.name, program.wanted_by, program.package);
    }
}

/// Installs Debian's `packages` where this may be done; gives whether they are there now.
pub fn packages_of_debian(packages: &[&str]) -> bool {
    is_root() && apt(&["update", "-q"]) && apt(&[&["install", "-yq", "--no-install-recommends"], packages].concat())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers in a folder that is on root's path alone.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.into_iter().any(|folder| folder.join(program).is_file()) && (program != "psql" || has_postgres_server())
}

/// The client can be there without the server, which Debian keeps off the path.
fn has_postgres_server() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/postgres").is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0") && Path::new("/usr/bin/apt-get").is_file()
}

fn apt(arguments: &[&str]) -> bool {
    eprintln!("==> apt-get {}", arguments.join(" "));
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_name_on_the_path() {
        assert!(is_there("sh"));
        assert!(!is_there("no-program-has-this-name"));
        assert!(!is_there(""), "a folder is no program");
    }
}
