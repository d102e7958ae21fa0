//! The README's first command.

use bloonio_demo::process::binary;
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
    ] {
        assert!(text.contains(shown), "{shown:?} is missing in\n{text}");
    }
}

#[tokio::test]
async fn help_reads_well_for_every_binary() {
    for (name, word) in [
        ("bloonio-demo", "--script"),
        ("bloonio-relay-server", "serve"),
        ("bloonio-phone", "approve"),
        ("axum-transfer", "APP_LISTEN"),
    ] {
        let output = Command::new(binary(name).unwrap()).arg("--help").output().await.unwrap();
        assert!(output.status.success(), "{name}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{name}");
    }
}
