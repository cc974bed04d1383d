use anchor_lang::{prelude::*, solana_program::log::sol_log_data};

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

impl Liquidated {
    /// Logs it as Anchor's `emit!` does.
    pub fn log(&self) {
        sol_log_data(&[&self.encode()]);
    }

    fn encode(&self) -> Vec<u8> {
        encode(
            Self::DISCRIMINATOR,
            [
                &self.keeper,
                &self.obligation,
                &self.lending_market,
                &self.repay_reserve,
                &self.withdraw_reserve,
                &self.flash_reserve,
                &self.debt_mint,
                &self.collateral_mint,
            ],
            [
                self.flash_loan,
                self.flash_fee,
                self.debt_repaid,
                self.collateral_received,
                self.protocol_fee,
                self.ctokens_received,
                self.collateral_sold,
                self.swap_proceeds,
                self.profit.cast_unsigned(),
                self.min_profit.cast_unsigned(),
            ],
        )
    }
}

impl Settled {
    /// Logs it as Anchor's `emit!` does.
    pub fn log(&self) {
        sol_log_data(&[&self.encode()]);
    }

    fn encode(&self) -> Vec<u8> {
        encode(
            Self::DISCRIMINATOR,
            [&self.keeper, &self.flash_reserve, &self.debt_mint],
            [
                self.flash_loan,
                self.flash_fee,
                self.debt_before,
                self.debt_after,
                self.profit.cast_unsigned(),
                self.min_profit.cast_unsigned(),
            ],
        )
    }
}

/// An event in borsh: its fields one after the other, integers in little-endian.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "small constants")]
fn encode<const KEYS: usize, const NUMBERS: usize>(
    discriminator: &[u8],
    keys: [&Pubkey; KEYS],
    numbers: [u64; NUMBERS],
) -> Vec<u8> {
    let mut data = Vec::with_capacity(size_of::<[Pubkey; KEYS]>() + 8 * (1 + NUMBERS));
    data.extend_from_slice(discriminator);
    for key in keys {
        data.extend_from_slice(key.as_array());
    }
    for number in numbers {
        data.extend_from_slice(&number.to_le_bytes());
    }
    data
}

#[cfg(test)]
mod tests {
    use anchor_lang::Event;

    use super::*;

    #[test]
    fn events_are_encoded_as_anchor_does() {
        let key = |byte| Pubkey::new_from_array([byte; 32]);
        let liquidated = Liquidated {
            keeper: key(1),
            obligation: key(2),
            lending_market: key(3),
            repay_reserve: key(4),
            withdraw_reserve: key(5),
            flash_reserve: key(6),
            debt_mint: key(7),
            collateral_mint: key(8),
            flash_loan: 9,
            flash_fee: 10,
            debt_repaid: 11,
            collateral_received: 12,
            protocol_fee: 13,
            ctokens_received: 14,
            collateral_sold: 15,
            swap_proceeds: 16,
            profit: -17,
            min_profit: i64::MIN,
        };
        assert_eq!(liquidated.encode(), liquidated.data());
        let settled = Settled {
            keeper: key(1),
            flash_reserve: key(2),
            debt_mint: key(3),
            flash_loan: 4,
            flash_fee: 5,
            debt_before: 6,
            debt_after: 7,
            profit: -8,
            min_profit: i64::MIN,
        };
        assert_eq!(settled.encode(), settled.data());
    }
}
