use anchor_lang::prelude::*;

/// One obligation was liquidated inside a flash loan. Amounts are raw token
/// units, measured as balance changes unless said otherwise.
#[event]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liquidated {
    /// Signer that liquidated and keeps the profit.
    pub keeper: Pubkey,
    /// Obligation that was liquidated.
    pub obligation: Pubkey,
    /// klend market of the obligation.
    pub lending_market: Pubkey,
    /// Reserve whose debt was repaid.
    pub repay_reserve: Pubkey,
    /// Reserve whose collateral was seized.
    pub withdraw_reserve: Pubkey,
    /// Reserve that lent.
    pub flash_reserve: Pubkey,
    /// Mint of the debt, the loan and the profit.
    pub debt_mint: Pubkey,
    /// Mint of the collateral.
    pub collateral_mint: Pubkey,
    /// Principal of the flash loan, debt units.
    pub flash_loan: u64,
    /// Fee klend adds when the loan is repaid, debt units, computed from the
    /// flash reserve as klend does.
    pub flash_fee: u64,
    /// Debt repaid to the repay reserve, debt units.
    pub debt_repaid: u64,
    /// Collateral that arrived after klend's protocol fee, collateral units.
    pub collateral_received: u64,
    /// klend's protocol fee, collateral units.
    pub protocol_fee: u64,
    /// cTokens the keeper was left with because they could not be redeemed.
    pub ctokens_received: u64,
    /// Collateral the swap consumed, collateral units.
    pub collateral_sold: u64,
    /// What the swap returned, debt units.
    pub swap_proceeds: u64,
    /// Change of the keeper's debt account over this instruction less the flash
    /// fee, debt units.
    pub profit: i64,
    /// Least profit the keeper accepted, debt units.
    pub min_profit: i64,
}

/// A bracket was settled inside a flash loan. Amounts are raw debt units.
#[event]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Signer that opened and settled the bracket and keeps the profit.
    pub keeper: Pubkey,
    /// Reserve that lent.
    pub flash_reserve: Pubkey,
    /// Mint of the loan and the profit.
    pub debt_mint: Pubkey,
    /// Principal of the flash loan.
    pub flash_loan: u64,
    /// Fee klend adds when the loan is repaid, computed as klend does.
    pub flash_fee: u64,
    /// Balance of the keeper's debt account when the bracket was opened.
    pub debt_before: u64,
    /// Balance of the keeper's debt account when it was settled.
    pub debt_after: u64,
    /// `debt_after - debt_before - flash_fee`.
    pub profit: i64,
    /// Least profit the keeper accepted.
    pub min_profit: i64,
}
