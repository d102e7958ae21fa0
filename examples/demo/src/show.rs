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

/// What to open and what to type, for somebody who tries it.
pub fn instructions(scene: &Scene) {
    let Scene { axum, actix, .. } = scene;
    let (axum, actix, home) = (&axum.address, &actix.address, scene.phone_home.display());
    let phone = match bloonio_demo::process::binary("bloonio-phone") {
        Ok(path) => format!("{} --home {home}", path.display()),
        Err(_) => format!("bloonio-phone --home {home}"),
    };
    let body = r#"{"amount":"1000.00","recipient":"ACME Corp"}"#;
    let call = format!(
        "curl -s {axum}/transfer/execute -H 'Authorization: Bearer demo-jane' -H 'Content-Type: application/json' -d '{body}'"
    );
    println!(
        "\nEverything is running. Jane's phone is paired; it is a command for another terminal:

   {phone} list
   {phone} approve INSTRUCTION_ID
   {phone} approve INSTRUCTION_ID --number NUMBER
   {phone} deny INSTRUCTION_ID

The easy way: open {axum} in a browser, sign in as Jane, ask for a transfer, approve it on the phone.
The same bank on actix-web: {actix}

By hand:

1. Ask for a transfer. It is refused with 403, and an instruction_id:

   {call}

2. See on the phone what is asked, and approve it.

3. Repeat the same request with the key. It runs, once:

   {call} -H 'X-Sudo-Instruction-Key: INSTRUCTION_ID'

Or let the request wait for the phone: POST {axum}/payout/execute takes the same body.
The ledger: curl -s {axum}/ledger -H 'Authorization: Bearer demo-jane'

Ctrl-c ends everything."
    );
}
