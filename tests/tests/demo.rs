//! The README's first command.

use std::process::Stdio;

use bloonio_demo::process::binary;
use bloonio_tests::operator::http;
use bloonio_tests::wait;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn the_scripted_demo_shows_every_answer_and_succeeds() {
    let mut command = Command::new(binary("bloonio-demo").unwrap());
    // Without CARGO it takes the binaries that lie beside it, which this test run has built.
    let output = command.arg("--script").env_remove("CARGO").kill_on_drop(true).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for shown in [
        "tenant provisioned",
        "phone paired",
        "403 error=SUDO_INSTRUCTION_KEY_REQUIRED",
        "prompt on the phone",
        "\"1000.00\"",
        "403 error=SUDO_ACTION_PENDING",
        "200 error=-",
        "403 error=SUDO_ACTION_EXPIRED",
        "403 error=SUDO_REQUEST_MISMATCH",
        "403 error=SUDO_ACTION_DENIED",
        "the bank knows: expired",
        "The same bank on actix-web",
    ] {
        assert!(text.contains(shown), "{shown:?} is missing in\n{text}");
    }
}

#[tokio::test]
async fn the_demo_says_what_to_open_and_ends_when_it_is_told() {
    let mut command = Command::new(binary("bloonio-demo").unwrap());
    let mut demo = command.env_remove("CARGO").stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let reading = async {
        let mut text = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("Ctrl-c") {
                return text;
            }
            text.push_str(&format!("{line} "));
        }
        panic!("the demo ends early: {text}")
    };
    let text = tokio::time::timeout(wait::DEADLINE, reading).await.unwrap();
    let (_, said) = text.split_once("The easy way: open ").expect("what to open");
    let pages: Vec<_> = said.split([' ', ',']).filter(|word| word.starts_with("http://")).take(2).collect();
    assert_eq!(pages.len(), 2, "{said}");
    for page in pages {
        let answer = http().get(page).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8", "{page}");
    }
    let told = Command::new("sh").args(["-c", &format!("kill -INT {}", demo.id().unwrap())]).status().await.unwrap();
    assert!(told.success() && demo.wait().await.unwrap().success());
}

#[tokio::test]
async fn help_reads_well_for_every_binary() {
    for (name, word) in [
        ("bloonio-demo", "--script"),
        ("bloonio-relay-server", "serve"),
        ("bloonio-phone", "approve"),
        ("axum-transfer", "APP_LISTEN"),
        ("actix-transfer", "APP_LISTEN"),
    ] {
        let output = Command::new(binary(name).unwrap()).arg("--help").output().await.unwrap();
        assert!(output.status.success(), "{name}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{name}");
    }
}
