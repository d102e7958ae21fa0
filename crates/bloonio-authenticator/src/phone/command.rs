//! What each command does.

mod answer;
mod list;
mod manage;
mod pair;
mod totp;
mod watch;

use crate::args::Command;
use crate::error::PhoneError;
use crate::phone::Phone;

/// Runs a command.
pub async fn run(phone: &Phone, command: Command) -> Result<(), PhoneError> {
    match command {
        Command::Pair(args) => pair::pair(phone, args).await,
        Command::List => list::prompts(phone).await,
        Command::Alerts => list::alerts(phone).await,
        Command::Watch { once } => watch::watch(phone, once).await,
        Command::Show(prompt) => answer::show(phone, &prompt).await,
        Command::Approve { prompt, number, totp } => answer::approve(phone, &prompt, number, totp).await,
        Command::Totp(only) => totp::show(phone, only.tenant.as_ref()).await,
        Command::Deny { prompt, reason } => answer::deny(phone, &prompt, reason).await,
        Command::ConfirmDevice { device_id, reject, only } => {
            manage::confirm(phone, &device_id, !reject, only.tenant.as_ref()).await
        }
        Command::Refresh { fcm_token, only } => manage::refresh(phone, fcm_token, only.tenant.as_ref()).await,
        Command::Unpair { force, only } => manage::unpair(phone, force, only.tenant.as_ref()).await,
    }
}
