//! The model against the chain: what feeds tell is put together into cases, each
//! recomputed from the accounts before it and compared to the unit.
//!
//! * [`collector`]: cases out of updates.
//! * [`case`]: one case, in memory and as a folder.
//! * [`witness`]: what only transactions know, asked where accounts leave it open.
//! * [`tally`]: what came of all cases.
//! * [`checker`]: the thread that does it, beside the path.
//!
//! A feed tells states of accounts, not what made them. So what agrees has agreed, but
//! a difference counts only where nothing else can have made it: nobody wrote the
//! reserve between the two states, nobody else used the reserves of a liquidation in
//! its slot. Everything else is left out, and counted as left out.

pub mod case;
pub mod checker;
pub mod collector;
pub mod tally;
pub mod witness;

use klend_model::verify::{Compared, Silent};

use crate::land::report::Report;

use self::{
    case::{Case, What},
    witness::Witness,
};

/// What came of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was compared; all agree, or what differs is klend's doing.
    Compared(Vec<Compared>),
    /// It says nothing, and why.
    LeftOut(String),
}

impl From<Silent> for Outcome {
    fn from(silent: Silent) -> Self {
        Self::LeftOut(silent.to_string())
    }
}

/// Compares a case. Without a witness, a refresh is taken at its word, and a liquidation
/// counts only if it agrees: an owner who repays and withdraws leaves the same accounts.
#[must_use]
pub fn judge(case: &Case, witness: Option<&dyn Witness>) -> Outcome {
    let judged = match &case.what {
        What::Refresh => refresh(case, witness),
        What::Liquidation { .. } => liquidation(case, witness),
    };
    judged.unwrap_or_else(|reason| Outcome::LeftOut(format!("{reason:#}")))
}

fn agree(compared: &[Compared]) -> bool {
    compared.iter().all(Compared::agrees)
}

fn refresh(case: &Case, witness: Option<&dyn Witness>) -> anyhow::Result<Outcome> {
    let compared = match case.compare_refresh() {
        Ok(compared) => compared,
        Err(silent) => return Ok(silent.into()),
    };
    if let Some(witness) = witness.filter(|_| !agree(&compared)) {
        for (key, from, to) in case.spans() {
            if !witness.wrote(&key, from + 1, to.saturating_sub(1), None)?.is_empty() {
                let told = format!("reserve {key} was written between the states that were told");
                return Ok(Outcome::LeftOut(told));
            }
        }
    }
    Ok(Outcome::Compared(compared))
}

fn liquidation(case: &Case, witness: Option<&dyn Witness>) -> anyhow::Result<Outcome> {
    let mut silent = None;
    for guess in case.guesses().into_iter().flatten() {
        match case.compare_liquidation(&guess) {
            Ok(compared) if agree(&compared) => return Ok(Outcome::Compared(compared)),
            Ok(_) => {}
            Err(reason) => silent = Some(reason),
        }
    }
    if let Some(silent) = silent {
        return Ok(silent.into());
    }
    let told = case.transaction().map(Ok);
    let found = told.or_else(|| witness.map(|witness| witness.transaction(case))).transpose()?;
    let Some(found) = found else {
        let why = "no transaction tells whether it was a liquidation, and what was asked for";
        return Ok(Outcome::LeftOut(why.to_owned()));
    };
    let report = Report::read(found)?;
    let request = match witness::request(&report, &case.key) {
        Ok(request) => request,
        Err(reason) => return Ok(Outcome::LeftOut(format!("{reason:#}"))),
    };
    let compared = match case.compare_liquidation(&request) {
        Ok(compared) => compared,
        Err(silent) => return Ok(silent.into()),
    };
    if let Some(witness) = witness.filter(|_| !agree(&compared)) {
        for (key, _, slot) in case.spans() {
            if !witness.wrote(&key, slot, slot, report.signature.as_deref())?.is_empty() {
                let told = format!("others used reserve {key} in the same slot");
                return Ok(Outcome::LeftOut(told));
            }
        }
    }
    Ok(Outcome::Compared(compared))
}
