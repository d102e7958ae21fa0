//! What a protected route demands and what the phone shows: [`SudoRequirement`].

mod check;
mod field;
mod json;
mod prompt;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::challenge::CustomType;
use bloonio_wire::display::DataType;
use bloonio_wire::id::UserSocketHash;

use crate::consume::ConsumePolicy;
use crate::fingerprint::Binding;
use crate::request::RequestView;

pub use check::RequirementError;
pub(crate) use check::is_header_name;
pub use field::FieldError;
pub(crate) use field::{Problems, Worst};
pub(crate) use prompt::Prompt;

type Computed<T> = Arc<dyn Fn(&RequestView<'_>) -> Result<T, FieldError> + Send + Sync>;

#[derive(Clone)]
enum Text {
    Fixed(String),
    Computed(Computed<String>),
}

#[derive(Clone)]
struct Field {
    key: String,
    title: String,
    data_type: DataType,
    value: Computed<String>,
}

/// What a route demands before it runs.
///
/// ```
/// use bloonio_sudo::{CustomType, DataType, FieldError, SudoRequirement};
///
/// let transfer = SudoRequirement::new("transfer_funds")
///     .with_title("Approve a transfer")
///     .with_json_field("amount", "Amount", DataType::CurrencyUsd, "/amount")
///     .with_field("to", "Recipient", DataType::PartyName, |view| {
///         let name = view.json()?["recipient"].as_str();
///         name.map(str::to_owned).ok_or_else(|| FieldError::invalid("is required"))
///     });
/// # let _ = transfer;
/// ```
#[derive(Clone)]
pub struct SudoRequirement {
    pub(crate) action: String,
    pub(crate) custom_type: CustomType,
    pub(crate) user: Option<Computed<Option<UserSocketHash>>>,
    pub(crate) condition: Option<Computed<bool>>,
    pub(crate) golden_choices: Option<usize>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) blocking: bool,
    pub(crate) enrolment_exception: bool,
    pub(crate) binding: Binding,
    pub(crate) consume: ConsumePolicy,
    pub(crate) bound_headers: Vec<String>,
    title: Option<Text>,
    subtitle: Option<Text>,
    description: Option<Text>,
    fields: Vec<Field>,
}

impl fmt::Debug for SudoRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SudoRequirement")
            .field("action", &self.action)
            .field("custom_type", &self.custom_type)
            .field("blocking", &self.blocking)
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

impl SudoRequirement {
    /// Demands an approval of `action` by the phone's own lock (`localAuth`), bound to the exact request.
    pub fn new(action: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            custom_type: CustomType::LocalAuth,
            user: None,
            condition: None,
            golden_choices: None,
            ttl: None,
            blocking: false,
            enrolment_exception: false,
            binding: Binding::Exact,
            consume: ConsumePolicy::BeforeHandler,
            bound_headers: Vec::new(),
            title: None,
            subtitle: None,
            description: None,
            fields: Vec::new(),
        }
    }

    /// How to approve. `goldenNumber`: the first answer holds a number that the page must show and the person types.
    #[must_use]
    pub fn with_custom_type(mut self, custom_type: CustomType) -> Self {
        self.custom_type = custom_type;
        self
    }

    /// Lets the person pick the golden number from 3 to 5 on the phone instead of typing it. A blind tap on one of three is
    /// right one time in three, a typed guess one time in ninety: from a user's third wrong number in a day on, his prompts
    /// ask to type.
    #[must_use]
    pub fn with_golden_choices(mut self, offered: usize) -> Self {
        self.golden_choices = Some(offered);
        self
    }

    /// Who must approve, where that is not the caller. `None` is answered with 401 `SUDO_USER_REQUIRED`.
    #[must_use]
    pub fn with_user(
        mut self,
        user: impl Fn(&RequestView<'_>) -> Option<UserSocketHash> + Send + Sync + 'static,
    ) -> Self {
        self.user = Some(Arc::new(move |view| Ok(user(view))));
        self
    }

    /// As [`with_user`](Self::with_user), for closures that can fail: 500 `SUDO_MISCONFIGURED` then.
    #[must_use]
    pub fn with_try_user(
        mut self,
        user: impl Fn(&RequestView<'_>) -> Result<Option<UserSocketHash>, FieldError> + Send + Sync + 'static,
    ) -> Self {
        self.user = Some(Arc::new(user));
        self
    }

    /// Demands the approval only of requests for which `protects` says true. The others run without; their handlers get
    /// no [`Grant`](crate::Grant).
    #[must_use]
    pub fn with_condition(mut self, protects: impl Fn(&RequestView<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(move |view| Ok(protects(view))));
        self
    }

    /// As [`with_condition`](Self::with_condition), for closures that can fail: an error protects.
    #[must_use]
    pub fn with_try_condition(
        mut self,
        protects: impl Fn(&RequestView<'_>) -> Result<bool, FieldError> + Send + Sync + 'static,
    ) -> Self {
        self.condition = Some(Arc::new(protects));
        self
    }

    /// Lets a user through who has never paired a phone, and nobody else: for the page that shows the pairing code, which
    /// must itself be protected once there is a pairing (SECURITY, "Devices"). The relay says whether there is one; a
    /// pairing whose last device is gone still protects.
    #[must_use]
    pub fn with_enrolment_exception(mut self) -> Self {
        self.enrolment_exception = true;
        self
    }

    /// The prompt's headline, 1 to 128 characters. Without one it is the action.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(Text::Fixed(title.into()));
        self
    }

    /// A headline computed from the request.
    #[must_use]
    pub fn with_title_from(
        mut self,
        title: impl Fn(&RequestView<'_>) -> Result<String, FieldError> + Send + Sync + 'static,
    ) -> Self {
        self.title = Some(Text::Computed(Arc::new(title)));
        self
    }

    /// The prompt's second line, at most 200 characters.
    #[must_use]
    pub fn with_subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = Some(Text::Fixed(subtitle.into()));
        self
    }

    /// A second line computed from the request.
    #[must_use]
    pub fn with_subtitle_from(
        mut self,
        subtitle: impl Fn(&RequestView<'_>) -> Result<String, FieldError> + Send + Sync + 'static,
    ) -> Self {
        self.subtitle = Some(Text::Computed(Arc::new(subtitle)));
        self
    }

    /// One sentence for the person, at most 2,000 characters.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(Text::Fixed(description.into()));
        self
    }

    /// A sentence computed from the request.
    #[must_use]
    pub fn with_description_from(
        mut self,
        description: impl Fn(&RequestView<'_>) -> Result<String, FieldError> + Send + Sync + 'static,
    ) -> Self {
        self.description = Some(Text::Computed(Arc::new(description)));
        self
    }

    /// A line of the prompt, computed from the request. The value is shown exactly as returned; one of more than 4,096
    /// characters is refused, never cut.
    #[must_use]
    pub fn with_field(
        mut self,
        key: impl Into<String>,
        title: impl Into<String>,
        data_type: DataType,
        value: impl Fn(&RequestView<'_>) -> Result<String, FieldError> + Send + Sync + 'static,
    ) -> Self {
        self.fields.push(Field { key: key.into(), title: title.into(), data_type, value: Arc::new(value) });
        self
    }

    /// A line of the prompt out of the JSON body, at a JSON pointer (RFC 6901) such as `/amount`: a string, number or
    /// truth value, exactly as sent. Missing, `null`, of another kind, or given twice: 422 `VALIDATION_FAILED`, and nobody
    /// is asked.
    #[must_use]
    pub fn with_json_field(
        self,
        key: impl Into<String>,
        title: impl Into<String>,
        data_type: DataType,
        pointer: &str,
    ) -> Self {
        let pointer = json::Pointer::new(pointer);
        self.with_field(key, title, data_type, move |view| pointer.read(view.json_bytes()?))
    }

    /// How long the prompt lives, 10 to 600 seconds, where the settings' time does not fit.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The request waits for the answer and then runs, without a second call. Its approval is good for nothing else.
    #[must_use]
    pub fn with_blocking(mut self) -> Self {
        self.blocking = true;
        self
    }

    /// An approval whose handler answers 500 or above is good again, until it would have ended anyway. **A handler that fails
    /// after its effect has it twice**; see [`ConsumePolicy::ReleasedOnServerError`]. Costs a second step of the store.
    #[must_use]
    pub fn may_run_again_after_server_error(mut self) -> Self {
        self.consume = ConsumePolicy::ReleasedOnServerError;
        self
    }

    /// The handler uses the approval up in its own database transaction, by [`Grant::consume_in`](crate::Grant::consume_in):
    /// exactly once, whatever dies. A handler that forgets to is answered with 500 in place of its own answer.
    #[must_use]
    pub fn with_consume_in_transaction(mut self) -> Self {
        self.consume = ConsumePolicy::InTransaction;
        self
    }

    /// One more header that an approval is bound to, such as `idempotency-key`: absent is not empty, repeats count in order.
    #[must_use]
    pub fn with_bound_header(mut self, name: &str) -> Self {
        self.bound_headers.push(name.to_ascii_lowercase());
        self
    }

    /// Binds the approval to what a JSON body means, not to its bytes (RFC 8785), for clients that cannot repeat them: order,
    /// blanks and the spelling of numbers do not count. Costs a second reading of the body, and refuses bodies that readers
    /// may read differently; see [`Binding::CanonicalJson`].
    #[must_use]
    pub fn with_canonical_json(mut self) -> Self {
        self.binding = Binding::CanonicalJson;
        self
    }

    /// Binds the approval to user, session and action only. **Whatever request is sent with the key runs**, whatever the
    /// person was shown; and repeated requests are not recognised as the same.
    #[must_use]
    pub fn insecure_without_binding(mut self) -> Self {
        self.binding = Binding::None;
        self
    }

    /// The action that is approved.
    pub fn action(&self) -> &str {
        &self.action
    }
}
