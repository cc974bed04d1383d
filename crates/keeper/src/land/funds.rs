//! What liquidations leave behind, made into what the key needs: wrapped SOL into SOL for
//! fees, cTokens into tokens.

use anyhow::{Context as _, Result};
use flash_liquidator_client::{
    klend::{ReserveAddresses, redeem_reserve_collateral, refresh_reserve},
    token::{
        NATIVE_MINT, TOKEN_PROGRAM_ID, associated_token_account, close_account,
        create_associated_token_account, sync_native,
    },
};
use klend_model::{fraction::Fraction, reserve::ReserveState, table::ReserveTable};
use solana_address::Address;
use solana_instruction::Instruction;

use crate::{
    book::market::Market,
    feeds::source::{Rpc, Source as _},
    route::venue::balance,
};

/// When wrapped SOL is unwrapped, and how much of it; in lamports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Only while the key has less; `None` for always.
    pub below: Option<u64>,
    /// So much stays wrapped.
    pub keep: u64,
}

impl Rule {
    /// How much to unwrap of what there is, if any.
    fn decide(self, balance: u64, wrapped: u64) -> Option<u64> {
        let is_wanted = self.below.is_none_or(|below| balance < below);
        wrapped.checked_sub(self.keep).filter(|rest| *rest > 0 && is_wanted)
    }
}

/// A key's SOL, wrapped and not, in lamports, and what a rule makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapped {
    pub keeper: Address,
    /// The token account.
    pub account: Address,
    /// What the key has.
    pub balance: u64,
    pub wrapped: u64,
    /// What is to come out of the token account.
    pub unwraps: Option<u64>,
}

impl Wrapped {
    /// Reads both balances.
    ///
    /// # Errors
    /// When they cannot be read, or the account is no token account.
    pub fn read(rpc: &Rpc, keeper: &Address, rule: Rule) -> Result<Self> {
        let account = associated_token_account(keeper, &NATIVE_MINT, &TOKEN_PROGRAM_ID);
        let found = rpc.accounts(&[*keeper, account])?;
        let lamports = found[0].as_ref().map_or(0, |account| account.lamports);
        let wrapped = found[1].as_ref().map_or(Some(0), |found| balance(&found.data));
        let wrapped = wrapped.with_context(|| format!("{account} is no token account"))?;
        let unwraps = rule.decide(lamports, wrapped);
        Ok(Self { keeper: *keeper, account, balance: lamports, wrapped, unwraps })
    }

    /// What stays wrapped.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.wrapped - self.unwraps.unwrap_or(0)
    }

    /// Closing the account turns everything in it into lamports, in one transaction with
    /// opening it again: liquidations need it. Its rent goes out and in.
    #[must_use]
    pub fn instructions(&self) -> Vec<Instruction> {
        let Self { keeper, account, .. } = self;
        let mut all = vec![
            close_account(account, keeper, &TOKEN_PROGRAM_ID),
            create_associated_token_account(keeper, keeper, &NATIVE_MINT, &TOKEN_PROGRAM_ID),
        ];
        if self.kept() > 0 {
            all.push(solana_system_interface::instruction::transfer(keeper, account, self.kept()));
            all.push(sync_native(account));
        }
        all
    }
}

/// cTokens of the keeper, such as a liquidation leaves where klend's vault could not pay
/// them out in full.
pub struct Left<'a> {
    pub state: &'a ReserveState<'a>,
    pub addresses: ReserveAddresses,
    pub account: Address,
    pub ctokens: u64,
    /// As many as the vault can pay out now, and what they bring.
    pub redeemable: u64,
    pub liquidity: u64,
}

impl<'a> Left<'a> {
    /// The keeper's cTokens of a market's reserves.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn find(
        rpc: &Rpc,
        market: &Market,
        states: &'a ReserveTable<'a>,
        keeper: &Address,
    ) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for state in states.reserves() {
            let addresses = ReserveAddresses::read(&state.key, market.reserve(&state.key)?);
            let mint = &addresses.ctoken_mint;
            let account = associated_token_account(keeper, mint, &TOKEN_PROGRAM_ID);
            all.push((state, addresses, account));
        }
        let keys: Vec<Address> = all.iter().map(|(.., account)| *account).collect();
        let mut left = Vec::new();
        for ((state, addresses, account), found) in all.into_iter().zip(rpc.accounts(&keys)?) {
            let Some(ctokens) = found.and_then(|found| balance(&found.data)).filter(|of| *of > 0)
            else {
                continue;
            };
            // What the vault has, in cTokens, rounded down: klend refuses what it cannot pay.
            let payable = state.ctokens_of(state.available)?;
            let redeemable = ctokens.min(payable);
            let liquidity = state.liquidity_of(redeemable)?.floor_u64()?.min(state.available);
            left.push(Self { state, addresses, account, ctokens, redeemable, liquidity });
        }
        Ok(left)
    }

    /// What can be had for them now, US dollars.
    ///
    /// # Errors
    /// When it is more than can be counted.
    pub fn worth(&self) -> Result<Fraction> {
        Ok(self.state.market_value(Fraction::from_int(self.liquidity))?)
    }

    /// Whether so much of them can be redeemed now that it is worth so many US dollars.
    #[must_use]
    pub fn is_worth(&self, usd: f64) -> bool {
        self.liquidity > 0 && self.worth().is_ok_and(|worth| worth.to_f64() >= usd)
    }

    /// Redeems what can be redeemed.
    #[must_use]
    pub fn instructions(&self, keeper: &Address) -> Vec<Instruction> {
        let reserve = &self.addresses;
        let (mint, program) = (&reserve.liquidity_mint, &reserve.liquidity_token_program);
        let liquidity = associated_token_account(keeper, mint, program);
        vec![
            create_associated_token_account(keeper, keeper, mint, program),
            refresh_reserve(reserve),
            redeem_reserve_collateral(reserve, keeper, &self.account, &liquidity, self.redeemable),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_says_when_and_how_much() {
        let decided = |balance, wrapped, below, keep| Rule { below, keep }.decide(balance, wrapped);
        assert_eq!(decided(5, 100, None, 0), Some(100));
        assert_eq!(decided(5, 100, Some(6), 30), Some(70));
        // Enough in the key, nothing beyond what stays, nothing at all.
        assert_eq!(decided(6, 100, Some(6), 0), None);
        assert_eq!(decided(5, 30, None, 30), None);
        assert_eq!(decided(5, 0, None, 0), None);
    }
}
