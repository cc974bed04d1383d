//! An attack, and what stops it.

use flash_liquidator::FlashLiquidatorError;
use flash_liquidator_tests::Stage;
use klend_fork::{ForkError, Outcome};

/// What came of a transaction.
pub type Sent = Result<Outcome, ForkError>;

/// What stops an attack.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// A check of ours.
    Ours(FlashLiquidatorError),
    /// klend, or a token program, with this error number.
    Code(u32),
    /// The runtime, with this `TransactionError` (a part of its debug form).
    Runtime(&'static str),
}

/// One attack.
pub struct Attack {
    /// Name of the function and of the test.
    pub name: &'static str,
    /// What stops it.
    pub stop: Stop,
    /// Carries it out.
    pub run: fn(&mut Stage) -> Sent,
}

impl Stop {
    /// Whether this is how the transaction ended.
    pub fn stopped(self, sent: &Sent) -> bool {
        let Some(failure) = sent.as_ref().err().and_then(ForkError::failure) else {
            return false;
        };
        match self {
            Self::Ours(error) => failure.custom_code() == Some(error.into()),
            Self::Code(code) => failure.custom_code() == Some(code),
            Self::Runtime(text) => format!("{:?}", failure.error).contains(text),
        }
    }
}

/// How a transaction ended, in few words.
pub fn ending(sent: &Sent) -> String {
    match sent {
        Ok(_) => "it gets through".to_owned(),
        Err(error) => match error.failure() {
            Some(failure) => format!("{:?}", failure.error),
            None => error.to_string(),
        },
    }
}

/// Carries out the attack of that name and checks that it ends as listed.
pub fn assert_stopped(attacks: &[Attack], name: &str) {
    let attack = attacks.iter().find(|attack| attack.name == name).expect("a listed attack");
    let sent = (attack.run)(&mut Stage::new());
    assert!(
        attack.stop.stopped(&sent),
        "expected {:?}, got: {}",
        attack.stop,
        sent.map_or_else(|error| error.to_string(), |_| "success".to_owned())
    );
}

/// Makes a test of each attack, and the list [`ATTACKS`] of all in the module.
macro_rules! attacks {
    ($($name:ident: $stop:expr,)*) => {
        pub const ATTACKS: &[$crate::attack::Attack] = &[
            $($crate::attack::Attack { name: stringify!($name), stop: $stop, run: $name },)*
        ];

        mod stopped {
            $(
                #[test]
                fn $name() {
                    $crate::attack::assert_stopped(super::ATTACKS, stringify!($name));
                }
            )*
        }
    };
}
pub(crate) use attacks;
