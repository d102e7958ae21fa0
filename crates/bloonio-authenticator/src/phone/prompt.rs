//! How a prompt, or an alert, is shown to a person: every field, whole, one line each (ATTACKS A09).

use bloonio_authenticator::text::visible;
use bloonio_wire::challenge::{Alert, Challenge, ChallengeStatus, CustomType};

/// A prompt on several lines.
pub fn render(prompt: &Challenge) -> String {
    let title = prompt.display.as_ref().map_or(prompt.expected_action.as_str(), |display| display.title.as_str());
    let mut lines = vec![format!("{} asks: {}", visible(&prompt.tenant_name), visible(title))];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name}: {}", visible(value)));
    if let Some(subtitle) = prompt.display.as_ref().and_then(|display| display.subtitle.as_deref()) {
        line("subtitle", subtitle);
    }
    if let Some(description) = &prompt.description {
        line("description", description);
    }
    for field in prompt.display.iter().flat_map(|display| &display.fields) {
        line(&format!("[{}] {} ({})", visible(&field.key), visible(&field.title), field.data_type), &field.value);
    }
    line("action", &prompt.expected_action);
    line("instruction", prompt.instruction_id.as_str());
    line("tenant", prompt.tenant_id.as_str());
    if let Some(digest) = &prompt.challenge_digest {
        line("digest", digest);
    }
    if let Some(backend) = &prompt.backend_url {
        line("backend", backend);
    }
    line("asked", &prompt.created_at.to_string());
    line("expires", &prompt.expires_at.to_string());
    line("status", prompt.status.as_str());
    line("approve with", &how(prompt));
    lines.join("\n")
}

fn how(prompt: &Challenge) -> String {
    if prompt.status != ChallengeStatus::Pending {
        return "nothing: it is over".to_owned();
    }
    let command = format!("bloonio-phone approve {}", prompt.instruction_id);
    match (prompt.custom_type, &prompt.numbers) {
        (CustomType::LocalAuth, _) => command,
        (CustomType::Totp, _) => format!("{command}, or with --totp CODE if another device makes your codes"),
        (CustomType::GoldenNumber, None) => format!("{command} --number N, the number that the page shows"),
        (CustomType::GoldenNumber, Some(numbers)) => {
            let numbers: Vec<_> = numbers.iter().map(i64::to_string).collect();
            format!("{command} --number N, the one of {} that the page shows", numbers.join(", "))
        }
    }
}

/// An alert on several lines.
pub fn render_alert(alert: &Alert) -> String {
    let mut lines = vec![format!("{} tells: {}", visible(&alert.tenant_name), visible(&alert.title))];
    lines.push(format!("  {}", visible(&alert.body)));
    lines.push(format!("  kind: {}", alert.kind));
    lines.push(format!("  notification: {}", visible(&alert.notification_id)));
    lines.push(format!("  tenant: {}", alert.tenant_id));
    lines.push(format!("  sent: {}", alert.created_at));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::clock::Timestamp;
    use bloonio_wire::display::{DataType, Display, DisplayField};

    fn field(key: &str, title: &str, value: &str) -> DisplayField {
        DisplayField { key: key.into(), title: title.into(), value: value.into(), data_type: DataType::RawText }
    }

    fn prompt(fields: Vec<DisplayField>) -> Challenge {
        Challenge {
            instruction_id: "instruction-1".parse().unwrap(),
            tenant_id: "tnt_0123456789abcdef0123456789abcdef".parse().unwrap(),
            tenant_name: "Bank".into(),
            custom_type: CustomType::GoldenNumber,
            expected_action: "transfer_funds".into(),
            description: Some("Pay".into()),
            display: Some(Display { title: "Transfer".into(), subtitle: Some("today".into()), fields }),
            numbers: Some(vec![11, 22, 33]),
            challenge_digest: Some("d1".into()),
            created_at: Timestamp::from_secs(1),
            expires_at: Timestamp::from_secs(2),
            status: ChallengeStatus::Pending,
            response_token: Some("hush".into()),
            backend_url: Some("https://bank.example".into()),
        }
    }

    #[test]
    fn every_field_is_shown_and_the_token_is_not() {
        let shown = render(&prompt(vec![field("amount", "Amount", "10.00"), field("to", "To", "ACME")]));
        assert_eq!(
            shown,
            "Bank asks: Transfer
  subtitle: today
  description: Pay
  [amount] Amount (RAW_TEXT): 10.00
  [to] To (RAW_TEXT): ACME
  action: transfer_funds
  instruction: instruction-1
  tenant: tnt_0123456789abcdef0123456789abcdef
  digest: d1
  backend: https://bank.example
  asked: 1970-01-01T00:00:01.000Z
  expires: 1970-01-01T00:00:02.000Z
  status: pending
  approve with: bloonio-phone approve instruction-1 --number N, the one of 11, 22, 33 that the page shows"
        );
    }

    #[test]
    fn a09_no_field_can_add_a_line_or_hide_another() {
        let evil = "x\n  [to] To (RAW_TEXT): ACME\r\u{1b}[2K\u{202e}\u{200b}";
        let mut prompt = prompt(vec![field(evil, evil, evil), field("long", "Long", &"9".repeat(4096))]);
        let lines = render(&prompt).lines().count();
        prompt.tenant_name = evil.into();
        prompt.expected_action = evil.into();
        prompt.description = Some(evil.into());
        prompt.challenge_digest = Some(evil.into());
        prompt.backend_url = Some(evil.into());
        prompt.display.as_mut().unwrap().title = evil.into();
        prompt.display.as_mut().unwrap().subtitle = Some(evil.into());
        let shown = render(&prompt);
        assert_eq!(shown.lines().count(), lines);
        assert!(!shown.chars().any(|c| c != '\n' && bloonio_authenticator::text::is_deceptive(c)), "{shown}");
        assert!(shown.contains(&"9".repeat(4096)));
    }
}
