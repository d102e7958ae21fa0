//! What the demo prints.

use serde_json::Value;

use crate::scene::Scene;

/// A step of the setting up or of the tour.
pub fn step(text: &str) {
    println!("\n== {text}");
}

/// Something to know.
pub fn fact(name: &str, value: &str) {
    println!("   {name}: {value}");
}

/// One exchange with the bank: what was sent, what came back.
pub fn exchange(what: &str, status: u16, body: &Value) {
    let code = body["error"].as_str().unwrap_or("-");
    println!("   {what}\n     -> {status} error={code} {body}");
}

/// What to type, for somebody who tries it.
pub fn instructions(scene: &Scene) {
    let bank = &scene.bank.address;
    let home = scene.phone_home.display();
    let phone = match bloonio_demo::process::binary("bloonio-phone") {
        Ok(path) => format!("{} --home {home}", path.display()),
        Err(_) => format!("bloonio-phone --home {home}"),
    };
    let body = r#"{"amount":"1000.00","recipient":"ACME Corp"}"#;
    let call = format!(
        "curl -s {bank}/transfer/execute -H 'Authorization: Bearer demo-jane' -H 'Content-Type: application/json' -d '{body}'"
    );
    println!(
        "\nEverything is running. In another terminal:

1. Ask for a transfer. It is refused with 403, and an instruction_id:

   {call}

2. See on the phone what is asked, and approve it:

   {phone} list
   {phone} approve INSTRUCTION_ID

3. Repeat the same request with the key. It runs, once:

   {call} -H 'X-Sudo-Instruction-Key: INSTRUCTION_ID'

Or let the request wait for the phone: POST {bank}/payout/execute takes the same body.
The ledger: curl -s {bank}/ledger -H 'Authorization: Bearer demo-jane'

Ctrl-c ends everything."
    );
}
