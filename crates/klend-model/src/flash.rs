//! Which reserve to take a flash loan from.
//!
//! klend lends all of a reserve's vault, the liquidity reserved for its
//! withdraw queue included, to anyone who returns it with the fee in the same
//! transaction. Limits, utilisation, price freshness and `borrow_disabled` do
//! not matter; a disabled fee, an obsolete reserve and an emergency do.
//!
//! The lender need not be the debt's own reserve, nor of the same market. It
//! should not be the reserve whose collateral is redeemed: the loan empties the
//! vault that has to pay the redemption.

use solana_address::Address;

use crate::{
    constants::{FLASH_LOANS_DISABLED, FULL_BPS, reserve_status},
    fraction::Fraction,
    reserve::ReserveState,
    table::ReserveTable,
};

/// Why a reserve cannot or should not give a loan. Amounts are raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum NoLoan {
    /// `flash_loan_fee_sf` is `u64::MAX` (klend's error 6036).
    #[error("flash loans are disabled on this reserve")]
    Disabled,
    /// The reserve is obsolete (klend's error 6082).
    #[error("the reserve is obsolete")]
    Obsolete,
    /// The reserve is in emergency mode (klend's error 6175).
    #[error("the reserve is in emergency mode")]
    Emergency,
    /// The vault holds less than the loan (klend's error 6008).
    #[error("the vault holds {available}, the loan is {amount}")]
    NotEnough {
        /// In the vault.
        available: u64,
        /// Wanted.
        amount: u64,
    },
    /// Enough for the loan, not for the margin wanted beside it.
    #[error("the vault holds {available}, the loan with its safety margin is {with_margin}")]
    Margin {
        /// In the vault.
        available: u64,
        /// Loan and margin.
        with_margin: u64,
    },
    /// The fee would eat the loan (klend's error 6012).
    #[error("a loan of {amount} is not more than its fee")]
    TooSmall {
        /// Wanted.
        amount: u64,
    },
    /// The fee is above the tolerance.
    #[error("the fee is {fee}, at most {most} is tolerated")]
    TooDear {
        /// The exact fee.
        fee: u64,
        /// The tolerance, applied to the loan.
        most: u64,
    },
    /// The loan would leave too little to redeem the seized collateral.
    #[error("the loan leaves {left} in the vault that has to redeem {needed}")]
    Starves {
        /// Left in the vault when klend redeems.
        left: u64,
        /// What the redemption pays.
        needed: u64,
    },
}

/// A flash loan on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Offer {
    /// The lending reserve.
    pub reserve: Address,
    /// Its market.
    pub market: Address,
    /// Principal, raw units.
    pub amount: u64,
    /// The exact fee on top, raw units.
    pub fee: u64,
    /// In the vault before the loan, raw units.
    pub available: u64,
    /// The obligation uses this reserve, so that it must be refreshed once more
    /// after the loan made it stale.
    pub refresh_again: bool,
}

/// What a loan is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Mint of the loan.
    pub mint: &'a Address,
    /// Principal, raw units.
    pub amount: u64,
    /// Liquidity to be left in the vault beside the loan, as a share of the
    /// loan: others may borrow between quote and execution.
    pub margin_bps: u64,
    /// Highest fee, as a share of the loan; rounded up, so that klend's minimum
    /// fee of one unit is always tolerated unless this is zero.
    pub max_fee_bps: u64,
    /// The liquidation inside the loan.
    pub around: Option<Around<'a>>,
}

/// The liquidation that a loan surrounds.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Reserve whose debt is repaid.
    pub repay_reserve: &'a Address,
    /// What is repaid, raw units.
    pub repay: u64,
    /// Reserve whose collateral is redeemed.
    pub withdraw_reserve: &'a Address,
    /// What the redemption pays, klend's fee included, raw units.
    pub redeemed: u64,
    /// All reserves of the obligation.
    pub obligation_reserves: &'a [Address],
}

/// The reserves of one or more markets, sorted for finding lenders by mint.
#[derive(Debug, Clone)]
pub struct Lenders {
    by_mint: Vec<Lender>,
}

#[derive(Debug, Clone, Copy)]
struct Lender {
    mint: Address,
    reserve: Address,
    market: Address,
    available: u64,
    fee_rate: u64,
    status: u8,
    emergency: bool,
}

impl Lenders {
    /// Collects the reserves of some tables. A table whose reserves' prices
    /// cannot be refreshed still lends: build it without oracles.
    #[must_use]
    pub fn new<'t, 'a: 't>(tables: impl IntoIterator<Item = &'t ReserveTable<'a>>) -> Self {
        let mut by_mint: Vec<Lender> = tables
            .into_iter()
            .flat_map(|table| {
                table.reserves().iter().map(|reserve| Lender::new(table.market_key(), reserve))
            })
            .collect();
        by_mint.sort_by_key(|lender| (lender.mint, lender.fee_rate));
        Self { by_mint }
    }

    /// The lenders of one mint, for asking often.
    pub(crate) fn of_mint(&self, mint: &Address) -> MintLenders<'_> {
        let start = self.by_mint.partition_point(|lender| lender.mint < *mint);
        let length = self.by_mint[start..].partition_point(|lender| lender.mint == *mint);
        MintLenders(&self.by_mint[start..start + length])
    }

    /// The cheapest loan; of equally cheap ones one that needs no extra refresh,
    /// then the one with most in its vault. `None` if every reserve of the mint
    /// refuses; [`Self::explain`] says why.
    #[must_use]
    pub fn best(&self, wish: &Wish<'_>) -> Option<Offer> {
        self.of_mint(wish.mint).best(wish)
    }

    /// What every reserve of the mint answers.
    pub fn explain(&self, wish: &Wish<'_>) -> Vec<(Address, Result<Offer, NoLoan>)> {
        self.of_mint(wish.mint)
            .0
            .iter()
            .map(|lender| (lender.reserve, lender.offer(wish)))
            .collect()
    }
}

/// [`Lenders`] of one mint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MintLenders<'l>(&'l [Lender]);

impl MintLenders<'_> {
    /// [`Lenders::best`] among these, whatever mint the wish names.
    pub(crate) fn best(self, wish: &Wish<'_>) -> Option<Offer> {
        self.0.iter().filter_map(|lender| lender.offer(wish).ok()).min_by(|a, b| {
            (a.fee, a.refresh_again, b.available).cmp(&(b.fee, b.refresh_again, a.available))
        })
    }
}

impl Lender {
    fn new(market: &Address, reserve: &ReserveState<'_>) -> Self {
        let config = &reserve.account.config;
        Self {
            mint: *reserve.mint(),
            reserve: reserve.key,
            market: *market,
            available: reserve.available,
            fee_rate: config.fees.flash_loan_fee_sf,
            status: config.status,
            emergency: reserve.emergency,
        }
    }

    fn offer(&self, wish: &Wish<'_>) -> Result<Offer, NoLoan> {
        let amount = wish.amount;
        if self.emergency {
            return Err(NoLoan::Emergency);
        }
        if self.status == reserve_status::OBSOLETE {
            return Err(NoLoan::Obsolete);
        }
        if self.fee_rate == FLASH_LOANS_DISABLED {
            return Err(NoLoan::Disabled);
        }
        if self.available < amount {
            return Err(NoLoan::NotEnough { available: self.available, amount });
        }
        let with_margin = amount.saturating_add(share(amount, wish.margin_bps));
        if self.available < with_margin {
            return Err(NoLoan::Margin { available: self.available, with_margin });
        }
        let fee = fee(self.fee_rate, amount).ok_or(NoLoan::TooSmall { amount })?;
        let most = share(amount, wish.max_fee_bps);
        if fee > most {
            return Err(NoLoan::TooDear { fee, most });
        }
        let mut refresh_again = false;
        if let Some(around) = wish.around {
            refresh_again = around.obligation_reserves.contains(&self.reserve);
            if self.reserve == *around.withdraw_reserve {
                let repaid = if self.reserve == *around.repay_reserve { around.repay } else { 0 };
                let left = (self.available - amount).saturating_add(repaid);
                if left < around.redeemed {
                    return Err(NoLoan::Starves { left, needed: around.redeemed });
                }
            }
        }
        Ok(Offer {
            reserve: self.reserve,
            market: self.market,
            amount,
            fee,
            available: self.available,
            refresh_again,
        })
    }
}

/// klend's flash fee; `None` where it is not below the loan.
fn fee(rate: u64, amount: u64) -> Option<u64> {
    if rate == 0 || amount == 0 {
        return Some(0);
    }
    let share = (u128::from(amount) * u128::from(rate)).max(Fraction::ONE.to_bits());
    if share >= Fraction::from_int(amount).to_bits() {
        return None;
    }
    Fraction::from_bits(share).round_u64().ok()
}

/// `amount · bps / 10 000`, rounded up.
fn share(amount: u64, bps: u64) -> u64 {
    if let Some(product) = amount.checked_mul(bps) {
        return product.div_ceil(FULL_BPS);
    }
    let share = (u128::from(amount) * u128::from(bps)).div_ceil(u128::from(FULL_BPS));
    u64::try_from(share).unwrap_or(u64::MAX)
}
