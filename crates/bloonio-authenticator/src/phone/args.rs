//! What can be typed.

use std::path::PathBuf;

use bloonio_wire::device::Platform;
use bloonio_wire::id::{DeviceId, InstructionId, TenantId};
use bloonio_wire::secret::Secret;
use clap::{Args as ClapArgs, Parser, Subcommand};

/// A phone for the command line: pairs with a relay, shows what waits for approval, approves and denies.
///
/// Every decision is signed with a key of this phone's own.
#[derive(Debug, Parser)]
#[command(name = "bloonio-phone", version, after_help = EXAMPLES)]
pub struct Args {
    /// Where this phone keeps its memory [default: $BLOONIO_PHONE_HOME, else ~/.bloonio-phone]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,

    /// Print one JSON object a line, for scripts; errors too, as {"error", "status", "message"}
    #[arg(long, global = true)]
    pub json: bool,

    /// One more certificate to trust, a PEM file [default: $BLOONIO_PHONE_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Allow http to other machines: whoever listens can then act as this phone
    #[arg(long, global = true)]
    pub insecure_http: bool,

    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  bloonio-phone pair 'bloonio://pair?relay=https%3A%2F%2Frelay.example&proof=eyJ...'
  bloonio-phone watch
  bloonio-phone approve 3e2f8a61c07d4b95
  bloonio-phone approve 3e2f8a61c07d4b95 --number 42
  bloonio-phone deny 3e2f8a61c07d4b95 --reason 'not me'
  bloonio-phone totp
  bloonio-phone --home ./second-phone --json list

Exit codes: 0 done, 1 refused or failed, 2 not understood.";

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pair with the user whose page shows a pairing code
    #[command(after_help = PAIR_EXAMPLES)]
    Pair(PairArgs),
    /// Show all open prompts, newest first
    List,
    /// Show the security alerts, newest first
    Alerts,
    /// Print each prompt as it arrives, until ctrl-c
    Watch {
        /// Stop after the first prompt
        #[arg(long)]
        once: bool,
    },
    /// Show one prompt, and tell the relay that it was seen
    Show(PromptArgs),
    /// Approve a prompt
    #[command(after_help = APPROVE_EXAMPLES)]
    Approve {
        #[command(flatten)]
        prompt: PromptArgs,
        /// The number that the protected page shows (goldenNumber)
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        number: Option<i64>,
        /// The code (totp), if it is to be another than this phone's own
        #[arg(long, value_name = "CODE")]
        totp: Option<String>,
    },
    /// Show the current one-time codes, to be typed elsewhere
    Totp(TenantArgs),
    /// Deny a prompt
    Deny {
        #[command(flatten)]
        prompt: PromptArgs,
        /// Why, in your own words; the backend gets them
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let another device of yours in, once it has registered
    ConfirmDevice {
        /// The new device, as the alert names it
        device_id: DeviceId,
        /// Keep it out instead
        #[arg(long)]
        reject: bool,
        #[command(flatten)]
        only: TenantArgs,
    },
    /// Get fresh session tokens; otherwise done in time by every command
    Refresh {
        /// The phone's new FCM registration token
        #[arg(long, value_name = "T")]
        fcm_token: Option<Secret>,
        #[command(flatten)]
        only: TenantArgs,
    },
    /// End the pairings, at the relay and here
    Unpair {
        /// Forget them even if the relay cannot be reached
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        only: TenantArgs,
    },
}

/// What pairing needs.
#[derive(Debug, ClapArgs)]
pub struct PairArgs {
    /// What the QR code says: bloonio://pair?relay=...&proof=...; `-` reads it from standard input
    #[arg(value_name = "PAIRING_URI")]
    pub uri: Secret,
    /// What to call this phone
    #[arg(long)]
    pub name: Option<String>,
    /// Be woken through FCM at this registration token, instead of holding a stream open
    #[arg(long, value_name = "T", requires = "platform")]
    pub fcm_token: Option<Secret>,
    /// What kind of device to be: stream (default), android, ios, web
    #[arg(long)]
    pub platform: Option<Platform>,
}

const PAIR_EXAMPLES: &str = "\
Examples:
  bloonio-phone pair 'bloonio://pair?relay=https%3A%2F%2Frelay.example&proof=eyJ...' --name 'Jane, desk'
  zbarimg --raw --quiet code.png | bloonio-phone pair -
  bloonio-phone pair 'bloonio://...' --platform android --fcm-token dQw4w9...

Pairing again with the same user replaces this phone's former key.";

const APPROVE_EXAMPLES: &str = "\
Examples:
  bloonio-phone approve 3e2f8a61c07d4b95
  bloonio-phone approve 3e2f8a61c07d4b95 --number 42
  bloonio-phone approve 3e2f8a61c07d4b95 --totp 287082";

/// One prompt.
#[derive(Debug, ClapArgs)]
pub struct PromptArgs {
    /// The prompt, as `list` names it
    pub instruction_id: InstructionId,
    #[command(flatten)]
    pub only: TenantArgs,
}

/// Narrows a command down.
#[derive(Debug, ClapArgs)]
pub struct TenantArgs {
    /// Only the pairings with this tenant
    #[arg(long, value_name = "TENANT_ID")]
    pub tenant: Option<TenantId>,
}
