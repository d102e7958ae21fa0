//! The libraries of other languages that the tests hold the suite against: exact versions, from `tests/peers` into
//! `target/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Written last, so that a folder without it is half-made. Holds what was installed.
const INSTALLED: &str = "installed.txt";

/// Installs what is missing or has changed.
pub fn install() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (sources, target) = (root.join("tests/peers"), root.join("target/peers"));
    let node = up_to_date(&sources.join("node/package-lock.json"), &target.join("node"), node);
    // Each is tried, whatever became of the other.
    let python = up_to_date(&sources.join("python/requirements.txt"), &target.join("python"), python);
    node.context("the npm packages of tests/peers")?;
    python.context("the Python packages of tests/peers")
}

/// Makes `folder` anew unless it holds what `list` says.
fn up_to_date(list: &Path, folder: &Path, make: fn(&Path, &Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let wanted = std::fs::read_to_string(list).with_context(|| format!("{} cannot be read", list.display()))?;
    let mark = folder.join(INSTALLED);
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    make(list, folder)?;
    std::fs::write(&mark, wanted).with_context(|| format!("{} cannot be written", mark.display()))
}

fn node(lock: &Path, folder: &Path) -> anyhow::Result<()> {
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(lock.with_file_name(name), folder.join(name))
            .with_context(|| format!("{name} cannot be copied"))?;
    }
    let mut npm = Command::new("npm");
    run(npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder))
}

fn python(requirements: &Path, folder: &Path) -> anyhow::Result<()> {
    if environment("python3", folder).is_err() {
        // Debian's Python makes no environments without this package.
        crate::install::packages_of_debian(&["python3-venv"]);
        environment("/usr/bin/python3", folder)?;
    }
    let mut pip = Command::new(interpreter(folder));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    run(&mut pip)
}

fn environment(python: &str, folder: &Path) -> anyhow::Result<()> {
    run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    let shown = format!("{shown} {}", arguments.join(" "));
    eprintln!("==> {shown}");
    let status = command.status().with_context(|| format!("{shown} does not start"))?;
    ensure!(status.success(), "{shown} failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(_: &Path, folder: &Path) -> anyhow::Result<()> {
        assert!(!folder.join("rest").exists(), "made anew, in an empty folder");
        Ok(std::fs::write(folder.join("rest"), "")?)
    }

    fn fails(_: &Path, _: &Path) -> anyhow::Result<()> {
        anyhow::bail!("no network")
    }

    fn must_not_run(_: &Path, _: &Path) -> anyhow::Result<()> {
        panic!("it is there already")
    }

    #[test]
    fn a_folder_is_made_where_it_is_missing_half_made_or_for_another_list() {
        let place = std::env::temp_dir().join(format!("bloonio-peers-{}", std::process::id()));
        let (list, folder) = (place.join("list.txt"), place.join("made"));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(&list, "a==1").unwrap();
        assert!(up_to_date(&list, &folder, fails).is_err());
        up_to_date(&list, &folder, counts).unwrap();
        up_to_date(&list, &folder, must_not_run).unwrap();
        std::fs::write(&list, "a==2").unwrap();
        up_to_date(&list, &folder, counts).unwrap();
        up_to_date(&list, &folder, must_not_run).unwrap();
        std::fs::remove_dir_all(&place).unwrap();
    }
}
