//! What an operator deploys (deploy/, Dockerfile) fits the relay that is built here, and is as tight as it says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bloonio_demo::process::binary;
use rstest::rstest;
use yaml_rust2::{Yaml, YamlLoader};

const PROGRAM: &str = "/usr/local/bin/bloonio-relay-server";

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn file(path: &str) -> String {
    std::fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn relay(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("bloonio-relay-server").expect("built"));
    command.env_clear().args(arguments).output().expect("the relay's binary runs")
}

/// The variables that `serve` knows.
fn settings() -> BTreeSet<String> {
    let help = String::from_utf8(relay(&["serve", "--help"]).stdout).unwrap();
    let names = help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap().to_owned());
    let names: BTreeSet<_> = names.collect();
    assert!(names.len() > 15, "{help}");
    names
}

/// The instructions of the Dockerfile, with continued lines joined and arguments filled in.
fn instructions() -> Vec<(String, String)> {
    let text = file("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut arguments: Vec<(String, String)> = Vec::new();
    let mut instructions = Vec::new();
    for line in lines {
        let (name, rest) = line.split_once(char::is_whitespace).expect(line);
        let fill = |rest: &str, (name, value): &(String, String)| rest.replace(&format!("${{{name}}}"), value);
        let rest = arguments.iter().fold(rest.trim().to_owned(), |rest, argument| fill(&rest, argument));
        if name == "ARG" {
            let (name, value) = rest.split_once('=').expect("a default");
            arguments.push((name.to_owned(), value.to_owned()));
        }
        instructions.push((name.to_owned(), rest));
    }
    instructions
}

fn all<'a>(instructions: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    instructions.iter().filter(|(n, _)| n == name).map(|(_, rest)| rest.as_str()).collect()
}

/// A version that does not move by itself from one release to the next.
fn is_versioned(image: &str) -> bool {
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map_or("", |(_, tag)| tag);
    !tag.is_empty() && tag != "latest" && (image.chars().any(|c| c.is_ascii_digit()))
}

#[test]
fn the_image_runs_without_root_from_versioned_bases_and_starts_the_relay() {
    let instructions = instructions();
    let bases = all(&instructions, "FROM");
    assert_eq!(bases.len(), 2, "one stage builds, one runs: {bases:?}");
    assert!(bases.iter().all(|base| is_versioned(base.split(' ').next().unwrap())), "{bases:?}");
    let last = instructions.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let runtime = &instructions[last..];
    assert_eq!(all(runtime, "ENTRYPOINT"), [format!("[\"{PROGRAM}\"]")]);
    assert_eq!(all(runtime, "CMD"), ["[\"serve\"]"]);
    assert!(all(runtime, "RUN").is_empty(), "the runtime image has no shell");
    let user = all(runtime, "USER").last().copied().unwrap_or_default();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user:?}");
    let copied = all(runtime, "COPY");
    assert!(copied.iter().all(|copy| copy.starts_with("--from=build ")), "nothing of the sources: {copied:?}");
    assert!(copied.iter().any(|copy| copy.ends_with(PROGRAM)), "{copied:?}");
    let health = all(runtime, "HEALTHCHECK").concat();
    assert!(health.ends_with(&format!("CMD [\"{PROGRAM}\", \"healthcheck\"]")), "{health}");
    for command in ["serve", "healthcheck"] {
        assert!(relay(&[command, "--help"]).status.success(), "{command} exists");
    }
}

#[test]
fn the_image_holds_no_secret_and_sets_nothing_that_the_relay_does_not_know() {
    let instructions = instructions();
    let known = settings();
    for setting in all(&instructions, "ENV").iter().flat_map(|rest| rest.split_whitespace()) {
        let (name, _) = setting.split_once('=').expect("NAME=value");
        assert!(known.contains(name), "{name} is no setting");
        assert!(!name.contains("KEY") && !name.contains("_URL"), "{name} is a secret");
    }
    assert!(all(&instructions, "ARG").iter().all(|argument| argument.contains("_IMAGE=")), "{instructions:?}");
    let ignored = file(".dockerignore");
    for secret in [".git", "**/master.key", "**/*.pem", "**/*.env", "**/secrets", "**/*.db"] {
        assert!(ignored.lines().any(|line| line == secret), "{secret} may get into the build");
    }
}

/// The runtime image has the C library, and no other.
#[cfg(target_os = "linux")]
#[test]
fn the_relay_needs_no_library_that_its_image_lacks() {
    let program = binary("bloonio-relay-server").expect("built");
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let there = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "ld-linux"];
    for line in listed.lines() {
        assert!(there.iter().any(|name| line.contains(name)), "{line}");
    }
    assert!(listed.contains("libc.so"), "{listed}");
}

/// Settings of a unit; lists are given as often as they are set.
fn unit(path: &str) -> Vec<(String, String)> {
    let text = file(path);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with('['));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[rstest]
#[case("deploy/systemd/bloonio-relay.service", &["relay_admin_key"])]
#[case(
    "deploy/systemd/bloonio-relay@.service",
    &["relay_admin_key", "relay_master_key", "relay_database_url", "relay_redis_url"]
)]
fn a_unit_is_hardened_and_hands_over_secrets_as_files(#[case] path: &str, #[case] secrets: &[&str]) {
    let unit = unit(path);
    let values = |name: &str| all(&unit, name);
    for (name, value) in [
        ("ExecStart", format!("{PROGRAM} serve").as_str()),
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("UMask", "0077"),
        ("Restart", "always"),
        ("KillSignal", "SIGTERM"),
        ("TimeoutStopSec", "15s"),
    ] {
        assert_eq!(values(name), [value], "{name}");
    }
    let handed: Vec<_> = values("LoadCredential").iter().map(|value| value.split(':').next().unwrap()).collect();
    assert_eq!(handed, secrets);
    let known = settings();
    for setting in values("Environment").iter().flat_map(|value| value.split_whitespace()) {
        assert!(known.contains(setting.split('=').next().unwrap()), "{setting}");
    }
    for secret in secrets {
        assert!(known.contains(&secret.to_ascii_uppercase()), "{secret} is no setting");
    }
    let files: usize = values("LimitNOFILE")[0].parse().unwrap();
    assert!(files > 20_000, "above the limit of connections");
}

#[rstest]
fn systemd_finds_nothing_wrong_in_a_unit_and_little_exposed(
    #[values("deploy/systemd/bloonio-relay.service", "deploy/systemd/bloonio-relay@.service")] path: &str,
) {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else { return };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let number: u32 = version.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default();
    if number < 250 {
        eprintln!("systemd is too old to look at files: {version}");
        return;
    }
    // Under another program's name: ours is not installed.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(Path::new(path).file_name().unwrap());
    std::fs::write(&copy, file(path).replace(PROGRAM, "/bin/true")).unwrap();
    let analyze = |arguments: &[&str]| {
        let done = Command::new("systemd-analyze").args(arguments).arg(&copy).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (well, said) = analyze(&["verify", "--man=no"]);
    assert!(well && !said.contains(".service:"), "{said}");
    let (well, said) = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"]);
    assert!(well, "{said}");
}

/// A service of the compose file, with what `<<` merges in.
fn service<'a>(services: &'a Yaml, name: &str) -> impl Fn(&str) -> Yaml + use<'a> {
    let service = services[name].clone();
    assert!(!service.is_badvalue(), "there is no {name}");
    move |field| match &service[field] {
        Yaml::BadValue => service["<<"][field].clone(),
        found => found.clone(),
    }
}

fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_compose_file_runs_two_hardened_relays_on_settings_that_exist() {
    let compose = &YamlLoader::load_from_str(&file("deploy/compose.yaml")).unwrap()[0];
    let services = &compose["services"];
    let known = settings();
    for name in ["relay-1", "relay-2"] {
        let relay = service(services, name);
        let environment = relay("environment");
        for (setting, _) in environment.as_hash().unwrap() {
            let setting = setting.as_str().unwrap();
            assert!(known.contains(setting), "{setting} is no setting");
        }
        let required = environment["RELAY_PUBLIC_URL"].as_str().unwrap();
        assert!(required.starts_with("${RELAY_PUBLIC_URL:?"), "compose refuses to start without it: {required}");
        let secrets = relay("secrets");
        for secret in texts(&secrets) {
            assert!(known.contains(&secret.to_ascii_uppercase()), "{secret} is no setting");
            assert!(environment[secret.to_ascii_uppercase().as_str()].is_badvalue(), "{secret} is given twice");
        }
        assert_eq!(relay("read_only").as_bool(), Some(true));
        assert_eq!(texts(&relay("cap_drop")), ["ALL"]);
        assert_eq!(texts(&relay("healthcheck")["test"]), ["CMD", PROGRAM, "healthcheck"]);
        assert_eq!(relay("stop_grace_period").as_str(), Some("15s"));
        assert!(relay("ports").is_badvalue(), "reached through the proxy alone");
    }
    let published: Vec<_> = services.as_hash().unwrap().iter().filter(|(_, s)| !s["ports"].is_badvalue()).collect();
    assert_eq!(published.len(), 1, "the proxy alone is reached from outside");
}

#[test]
fn the_compose_file_has_versioned_images_health_checks_and_no_password() {
    let text = file("deploy/compose.yaml");
    let compose = &YamlLoader::load_from_str(&text).unwrap()[0];
    let declared: BTreeSet<_> = compose["secrets"].as_hash().unwrap().keys().map(|k| k.as_str().unwrap()).collect();
    for (_, secret) in compose["secrets"].as_hash().unwrap() {
        assert!(secret["file"].as_str().unwrap().starts_with("./secrets/"), "{secret:?}");
    }
    let mut used = BTreeSet::new();
    for (name, _) in compose["services"].as_hash().unwrap() {
        let name = name.as_str().unwrap();
        let service = service(&compose["services"], name);
        let image = service("image");
        let image = image.as_str().unwrap().to_owned();
        assert!(image.starts_with("bloonio-relay:") || is_versioned(&image), "{image}");
        assert!(texts(&service("security_opt")).contains(&"no-new-privileges:true"), "{name}");
        assert!(name == "proxy" || !service("healthcheck").is_badvalue(), "{name} has no health check");
        let secrets = service("secrets");
        used.extend(texts(&secrets).into_iter().map(str::to_owned));
    }
    assert_eq!(used, declared.iter().map(|&name| name.to_owned()).collect(), "declared and used secrets");
    for line in text.lines().filter(|line| line.to_lowercase().contains("password") && !line.trim().starts_with('#')) {
        let harmless = line.contains("_FILE: /run/secrets/") || line.contains("postgres_password");
        assert!(harmless, "a password in the file? {line}");
    }
}

#[test]
fn nginx_accepts_the_proxys_configuration_and_it_passes_calls_as_they_came() {
    let text = file("deploy/nginx.conf");
    let passes: Vec<_> = text.lines().map(str::trim).filter(|line| line.starts_with("proxy_pass")).collect();
    assert_eq!(passes, ["proxy_pass http://relays;"], "a path behind the name would be put in place of the call's");
    assert!(text.contains("merge_slashes off;") && text.contains("X-Forwarded-For $remote_addr;"));
    // With a certificate of its own, and the relays at addresses that this machine knows.
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    std::fs::write(&certificate, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let here = folder.path().to_str().unwrap();
    let text = text
        .replace("/run/secrets/relay_tls_certificate", certificate.to_str().unwrap())
        .replace("/run/secrets/relay_tls_key", key.to_str().unwrap())
        .replace("/tmp/nginx", &format!("{here}/nginx"))
        .replace("relay-1:", "127.0.0.1:")
        .replace("relay-2:", "127.0.0.2:");
    let conf = folder.path().join("nginx.conf");
    std::fs::write(&conf, text).unwrap();
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let tested = Command::new("nginx").env("PATH", path).args(["-t", "-c"]).arg(conf).output();
    let tested = tested.expect("nginx is missing: the tests need Debian's package nginx-light");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}
