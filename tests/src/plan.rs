//! The instructions of a flash liquidation, to be bent out of shape.

use anchor_lang::{AnchorDeserialize, Discriminator, InstructionData};
use flash_liquidator::{
    LiquidateArgs,
    instruction::{Liquidate, Open, Settle},
    klend::{FLASH_BORROW_DISCRIMINATOR, FLASH_REPAY_DISCRIMINATOR},
};
use flash_liquidator_client::receiver;
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

use crate::bracket;

/// Positions among the accounts of `liquidate`.
pub mod account {
    /// Signer.
    pub const KEEPER: usize = 0;
    /// Obligation.
    pub const OBLIGATION: usize = 1;
    /// klend market.
    pub const LENDING_MARKET: usize = 2;
    /// Reserve of the debt.
    pub const REPAY_RESERVE: usize = 4;
    /// Mint of the debt.
    pub const DEBT_MINT: usize = 5;
    /// Reserve of the collateral.
    pub const WITHDRAW_RESERVE: usize = 7;
    /// Mint of the collateral.
    pub const COLLATERAL_MINT: usize = 8;
    /// Vault of the collateral's liquidity.
    pub const WITHDRAW_LIQUIDITY_SUPPLY: usize = 11;
    /// Where the protocol fee goes.
    pub const FEE_VAULT: usize = 12;
    /// The keeper's debt account.
    pub const KEEPER_DEBT: usize = 13;
    /// The keeper's cToken account.
    pub const KEEPER_CTOKEN: usize = 14;
    /// The keeper's collateral account.
    pub const KEEPER_COLLATERAL: usize = 15;
    /// Token program of the debt.
    pub const DEBT_TOKEN_PROGRAM: usize = 17;
    /// Token program of the collateral.
    pub const COLLATERAL_TOKEN_PROGRAM: usize = 18;
    /// Instructions sysvar.
    pub const INSTRUCTIONS_SYSVAR: usize = 19;
    /// The obligation's stake in the collateral farm.
    pub const COLLATERAL_FARM_USER_STATE: usize = 20;
    /// The collateral farm.
    pub const COLLATERAL_FARM_STATE: usize = 21;
    /// klend.
    pub const KLEND_PROGRAM: usize = 25;
    /// Reserve that lends.
    pub const FLASH_RESERVE: usize = 26;
    /// The keeper's swap authority.
    pub const SWAP_AUTHORITY: usize = 27;
    /// The swap authority's collateral account.
    pub const SWAP_COLLATERAL: usize = 28;
    /// The swap authority's debt account.
    pub const SWAP_DEBT: usize = 29;
    /// First remaining account.
    pub const REMAINING: usize = 30;
}

/// Instructions of one transaction around one `liquidate`. Positions are found,
/// not remembered, so that instructions can be moved and replaced at will.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The instructions, in order.
    pub instructions: Vec<Instruction>,
}

impl Plan {
    /// A plan of these instructions.
    #[must_use]
    pub fn new(instructions: Vec<Instruction>) -> Self {
        Self { instructions }
    }

    /// Where the first instruction of this program with this discriminator stands.
    #[must_use]
    pub fn index_of(&self, discriminator: &[u8]) -> usize {
        self.position("such instruction", |ix| is(ix, discriminator))
    }

    fn position(&self, what: &str, is: impl Fn(&Instruction) -> bool) -> usize {
        self.instructions.iter().position(is).unwrap_or_else(|| panic!("the plan has no {what}"))
    }

    /// Where the flash borrow stands.
    #[must_use]
    pub fn borrow_index(&self) -> usize {
        self.position("flash borrow", |ix| ix.data.starts_with(&FLASH_BORROW_DISCRIMINATOR))
    }

    /// Where the flash repay stands.
    #[must_use]
    pub fn repay_index(&self) -> usize {
        self.position("flash repay", |ix| ix.data.starts_with(&FLASH_REPAY_DISCRIMINATOR))
    }

    /// Where `liquidate` stands.
    #[must_use]
    pub fn liquidate_index(&self) -> usize {
        self.position("liquidate", is_liquidate)
    }

    /// The flash borrow.
    pub fn borrow(&mut self) -> &mut Instruction {
        let index = self.borrow_index();
        &mut self.instructions[index]
    }

    /// The flash repay.
    pub fn repay(&mut self) -> &mut Instruction {
        let index = self.repay_index();
        &mut self.instructions[index]
    }

    /// The `liquidate`.
    pub fn liquidate(&mut self) -> &mut Instruction {
        let index = self.liquidate_index();
        &mut self.instructions[index]
    }

    /// Changes the arguments of `liquidate`.
    #[must_use]
    pub fn args(mut self, change: impl FnOnce(&mut LiquidateArgs)) -> Self {
        let liquidate = self.liquidate();
        let mut args = LiquidateArgs::deserialize(&mut &liquidate.data[8..])
            .expect("arguments that were just encoded");
        change(&mut args);
        liquidate.data = Liquidate { args }.data();
        self
    }

    /// Replaces an account of `liquidate` ([`account`]), its flags unchanged.
    #[must_use]
    pub fn account(mut self, position: usize, key: &Address) -> Self {
        self.liquidate().accounts[position].pubkey = *key;
        self
    }

    /// Adds remaining accounts to `liquidate`.
    #[must_use]
    pub fn remaining(mut self, accounts: impl IntoIterator<Item = AccountMeta>) -> Self {
        self.liquidate().accounts.extend(accounts);
        self
    }

    /// Puts an instruction at `position`; indexes of the flash loan follow.
    #[must_use]
    pub fn insert(mut self, position: usize, instruction: Instruction) -> Self {
        self.instructions.insert(position, instruction);
        self.renumber()
    }

    /// Puts an instruction right before `liquidate`; indexes follow.
    #[must_use]
    pub fn before_liquidate(self, instruction: Instruction) -> Self {
        let position = self.liquidate_index();
        self.insert(position, instruction)
    }

    /// Puts an instruction right after `liquidate`; indexes follow.
    #[must_use]
    pub fn after_liquidate(self, instruction: Instruction) -> Self {
        let position = self.liquidate_index() + 1;
        self.insert(position, instruction)
    }

    /// Moves the instruction at `from` to `to` (counted without it); indexes follow.
    #[must_use]
    pub fn move_instruction(mut self, from: usize, to: usize) -> Self {
        let instruction = self.instructions.remove(from);
        self.instructions.insert(to, instruction);
        self.renumber()
    }

    /// Writes the positions of the flash loan to where klend and every
    /// `liquidate` and `open` want them, and that of the next `settle` to every
    /// `open`.
    #[must_use]
    pub fn renumber(mut self) -> Self {
        let byte = |index| u8::try_from(index).expect("few instructions");
        let (borrow, repay) = (byte(self.borrow_index()), byte(self.repay_index()));
        *self.repay().data.last_mut().expect("17 bytes") = borrow;
        for instruction in self.instructions.iter_mut().filter(|ix| is_liquidate(ix)) {
            let mut args = LiquidateArgs::deserialize(&mut &instruction.data[8..])
                .expect("arguments that were just encoded");
            (args.flash_borrow_index, args.flash_repay_index) = (borrow, repay);
            instruction.data = Liquidate { args }.data();
        }
        for index in 0..self.instructions.len() {
            if !is(&self.instructions[index], Open::DISCRIMINATOR) {
                continue;
            }
            let mut following = self.instructions[index..].iter();
            let settle = following.position(|ix| is(ix, Settle::DISCRIMINATOR));
            bracket::edit(&mut self.instructions[index], |args| {
                (args.flash_borrow_index, args.flash_repay_index) = (borrow, repay);
                args.settle_index = settle.map_or(repay, |settle| byte(index + settle));
            });
        }
        self
    }
}

fn is_liquidate(instruction: &Instruction) -> bool {
    is(instruction, Liquidate::DISCRIMINATOR)
}

fn is(instruction: &Instruction, discriminator: &[u8]) -> bool {
    instruction.program_id == receiver::PROGRAM_ID && instruction.data.starts_with(discriminator)
}
