//! `refresh_reserves_batch(skip_price_updates: bool)`: several reserves in one
//! instruction.
//!
//! Accounts, per reserve: reserve (writable), market and, unless prices are
//! skipped, the four oracles of `refresh_reserve`.

use solana_program::account_info::AccountInfo;

use super::refresh_reserve;
use crate::{
    accounts::read_bool,
    error::{KlendError, Result, require},
    state::{self, LendingMarket, Reserve},
};

pub fn process(accounts: &[AccountInfo], args: &[u8]) -> Result<()> {
    let skip_price_updates = read_bool(args, 0)?;
    let per_reserve = if skip_price_updates { 2 } else { 6 };
    for group in accounts.chunks(per_reserve) {
        require(group.len() == per_reserve, KlendError::InvalidAccountInput)?;
        let (reserve, market, oracles) = (&group[0], &group[1], &group[2..]);
        let listed = state::load::<Reserve>(reserve)?.lending_market == *market.key;
        require(listed, KlendError::InvalidAccountInput)?;
        state::load::<LendingMarket>(market)?.require_no_emergency()?;
        refresh_reserve::refresh(reserve, market, (!skip_price_updates).then_some(oracles))?;
    }
    Ok(())
}
