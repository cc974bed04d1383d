//! What is looked at when klend decides why and how far an obligation is liquidated.

use crate::{
    obligation::{BorrowState, DepositState, ObligationState},
    reserve::ReserveState,
    table::ReserveTable,
};

/// Everything the choice of a reason looks at.
pub(super) struct Case<'t> {
    pub(super) table: &'t ReserveTable<'t>,
    pub(super) obligation: &'t ObligationState<'t>,
    pub(super) repay_reserve: ReserveState<'t>,
    pub(super) withdraw_reserve: ReserveState<'t>,
    pub(super) debt: BorrowState,
    pub(super) deposit: DepositState,
}
