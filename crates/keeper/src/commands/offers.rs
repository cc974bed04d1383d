//! What an aggregator is asked by commands, and what is shown of its answers.

use std::time::Instant;

use anyhow::Result;
use flash_liquidator_client::{
    receiver::swap_authority,
    swap::jupiter::{Ask, Stated},
};
use serde_json::{Value, json};
use solana_address::Address;

use crate::{
    book::pools::{Offered, Pair},
    build::fit::{Fit, fit},
    feeds::{
        jupiter::{Jupiter, Trouble},
        source::Source,
    },
    route::{
        discovery::{self, SHRINKING},
        frozen::Frozen,
        position::{Position, Search},
    },
};

/// Pairs of an obligation that are asked about.
const MOST_PAIRS: usize = 6;

/// For whom, and with what, offers are asked for.
pub struct Asking<'a> {
    pub source: &'a dyn Source,
    pub jupiter: &'a Jupiter,
    pub keeper: &'a Address,
    pub search: &'a Search,
    pub slippage_bps: u16,
    /// The keeper's lookup tables.
    pub tables: &'a [Address],
    /// Most accounts that a route may name.
    pub most: u8,
}

/// What was offered, or why nothing was.
pub struct Told {
    pub pair: Pair,
    pub amount: u64,
    pub max_accounts: u8,
    pub answer: Result<Stated, String>,
}

impl Asking<'_> {
    /// Asks for routes for an obligation's pairs, and then once more for just what its best
    /// liquidation sells; what fits a transaction is put beside the pools.
    ///
    /// # Errors
    /// Accounts cannot be read.
    pub fn ask(&self, frozen: &mut Frozen) -> Result<Vec<Told>> {
        let wanted = {
            let view = frozen.view(None)?;
            let position = Position::new(&view, &frozen.key, &frozen.obligation, self.search)?;
            let table = view.market(&position.market.key)?.1;
            discovery::wanted(table, &frozen.key, &frozen.obligation, &[])
        };
        let mut told = Vec::new();
        for wanted in wanted.iter().take(MOST_PAIRS) {
            self.ask_for(frozen, wanted.pair, wanted.amount, &mut told)?;
        }
        let exact = {
            let view = frozen.view(None)?;
            let position = Position::new(&view, &frozen.key, &frozen.obligation, self.search)?;
            let best = position.best(self.search).ok();
            best.and_then(|best| {
                let request = &best.request;
                let pair = view.pair(&request.withdraw_reserve, &request.repay_reserve)?;
                let was = wanted.iter().find(|wanted| wanted.pair == pair)?;
                // What is nearly the same was answered.
                let amount = best.quote.received;
                let is_other = amount > was.amount || amount < was.amount / 20 * 19;
                is_other.then_some((pair, amount))
            })
        };
        if let Some((pair, amount)) = exact {
            self.ask_for(frozen, pair, amount, &mut told)?;
        }
        Ok(told)
    }

    /// Asks for one amount, with ever fewer accounts until it fits.
    fn ask_for(
        &self,
        frozen: &mut Frozen,
        (sold, bought): Pair,
        amount: u64,
        told: &mut Vec<Told>,
    ) -> Result<()> {
        let (pair, authority) = ((sold, bought), swap_authority(self.keeper).0);
        for max_accounts in SHRINKING.into_iter().filter(|most| *most <= self.most) {
            let ask = Ask {
                sold,
                bought,
                amount,
                authority,
                payer: *self.keeper,
                slippage_bps: self.slippage_bps,
                max_accounts,
            };
            let mut tell = |answer| told.push(Told { pair, amount, max_accounts, answer });
            let at = Instant::now();
            let route = match self.jupiter.ask(&ask) {
                Ok(route) => route,
                Err(trouble) => {
                    let is_answer = matches!(trouble, Trouble::Answer(_));
                    tell(Err(trouble.to_string()));
                    // Another route may be free of what this one was refused for.
                    if is_answer {
                        continue;
                    }
                    break;
                }
            };
            let offer = Offered { pair, route, at };
            frozen.read_more(self.source, &offer.accounts())?;
            match self.fit(frozen, &offer)? {
                Fit::Fits => {
                    tell(Ok(offer.route.stated));
                    frozen.offer(offer);
                    break;
                }
                Fit::TooLarge(why) => tell(Err(format!("its route does not fit: {why}"))),
            }
        }
        Ok(())
    }

    fn fit(&self, frozen: &Frozen, offer: &Offered) -> Result<Fit> {
        let view = frozen.view(None)?;
        let position = Position::new(&view, &frozen.key, &frozen.obligation, self.search)?;
        let fit = fit(&position, self.keeper, offer, self.tables)?;
        Ok(fit.unwrap_or_else(|| Fit::TooLarge("the obligation has no such reserves".to_owned())))
    }
}

/// What was told, in words.
pub fn words(told: &Told) -> String {
    let Told { pair: (sold, bought), amount, max_accounts, answer } = told;
    match answer {
        Ok(Stated { amount_out, platform_fee_bps, positive_slippage_bps, .. }) => format!(
            "Jupiter sells {amount} of {sold} for {amount_out} of {bought} (at most {max_accounts} \
             accounts; platform fee {platform_fee_bps} bps, {positive_slippage_bps} bps of what it \
             brings beyond)"
        ),
        Err(reason) => format!(
            "Jupiter, {amount} of {sold} for {bought}, at most {max_accounts} accounts: {reason}"
        ),
    }
}

/// What was told, as JSON.
pub fn as_json(told: &Told) -> Value {
    let Told { pair: (sold, bought), amount, max_accounts, answer } = told;
    let stated = answer.as_ref().ok();
    json!({
        "sold": sold.to_string(),
        "bought": bought.to_string(),
        "amount": amount.to_string(),
        "maxAccounts": max_accounts,
        "pays": stated.map(|stated| stated.amount_out.to_string()),
        "slippageBps": stated.map(|stated| stated.slippage_bps),
        "platformFeeBps": stated.map(|stated| stated.platform_fee_bps),
        "positiveSlippageBps": stated.map(|stated| stated.positive_slippage_bps),
        "refused": answer.as_ref().err(),
    })
}
