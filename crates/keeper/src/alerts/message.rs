//! What can be wrong, and how it is told.

use serde_json::{Value, json};

/// What a message looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object with all there is to say.
    Json,
    /// `{"text": …}`, as Slack, Mattermost and others take it.
    Slack,
    /// `{"chat_id": …, "text": …}` for a bot's `sendMessage`.
    Telegram { chat: String },
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    LoopStalled,
    FeedLost,
    NodeBehind,
    LowBalance,
    TablesUnusable,
    ProgramChanged,
    KlendReplaced,
    LedgerDown,
    ModelDiffers,
    UnsellableDebt,
    RepeatedFailure,
}

impl Alert {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::LoopStalled,
        Self::FeedLost,
        Self::NodeBehind,
        Self::LowBalance,
        Self::TablesUnusable,
        Self::ProgramChanged,
        Self::KlendReplaced,
        Self::LedgerDown,
        Self::ModelDiffers,
        Self::UnsellableDebt,
        Self::RepeatedFailure,
    ];

    /// Its name in messages and metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LoopStalled => "loop_stalled",
            Self::FeedLost => "feed_lost",
            Self::NodeBehind => "node_behind",
            Self::LowBalance => "low_balance",
            Self::TablesUnusable => "tables_unusable",
            Self::ProgramChanged => "program_changed",
            Self::KlendReplaced => "klend_replaced",
            Self::LedgerDown => "ledger_down",
            Self::ModelDiffers => "model_differs",
            Self::UnsellableDebt => "unsellable_debt",
            Self::RepeatedFailure => "repeated_failure",
        }
    }

    /// Whether it is told without waiting.
    pub(super) const fn is_urgent(self) -> bool {
        matches!(
            self,
            Self::ProgramChanged | Self::KlendReplaced | Self::ModelDiffers | Self::RepeatedFailure
        )
    }
}

/// What is told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is wrong.
    Firing,
    /// It is well again.
    Resolved,
    /// How things stand, wrong or well.
    Digest,
}

impl State {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Digest => "digest",
        }
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The alert's name, or `daily`.
    pub label: &'static str,
    pub state: State,
    pub text: String,
}

impl Message {
    pub(super) fn of(alert: Alert, state: State, text: String) -> Self {
        Self { label: alert.label(), state, text }
    }

    fn sentence(&self) -> String {
        let state = match self.state {
            State::Firing => "FIRING",
            state => state.label(),
        };
        format!("keeper {state}: {}: {}", self.label, self.text)
    }

    /// What is posted.
    pub(super) fn body(&self, format: &Format) -> Value {
        match format {
            Format::Json => json!({
                "alert": self.label,
                "state": self.state.label(),
                "text": self.text,
            }),
            Format::Slack => json!({ "text": self.sentence() }),
            Format::Telegram { chat } => json!({ "chat_id": chat, "text": self.sentence() }),
        }
    }
}
