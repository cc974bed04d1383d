//! The reader of the instructions sysvar, against the standard one and against
//! bytes that no runtime would write.

use anchor_lang::prelude::ProgramError;
use flash_liquidator::{
    FlashLiquidatorError,
    introspection::{ExpectedLoan, current_index, verify_bracket, verify_flash_pair},
    klend::{FLASH_BORROW_DISCRIMINATOR, FLASH_REPAY_DISCRIMINATOR},
};
use flash_liquidator_client::receiver;
use flash_liquidator_fuzz::sysvar::assert_agreement;
use klend_model::constants::KLEND_PROGRAM_ID;
use solana_address::Address;
use solana_instruction::{AccountMeta, BorrowedAccountMeta, BorrowedInstruction, Instruction};
use solana_instructions_sysvar::construct_instructions_data;

use crate::dice::{Dice, play};

/// The sysvar's data as the runtime writes it.
pub fn serialized(instructions: &[Instruction], current: u16) -> Vec<u8> {
    let borrowed: Vec<_> = instructions
        .iter()
        .map(|instruction| BorrowedInstruction {
            program_id: &instruction.program_id,
            accounts: instruction
                .accounts
                .iter()
                .map(|meta| BorrowedAccountMeta {
                    pubkey: &meta.pubkey,
                    is_signer: meta.is_signer,
                    is_writable: meta.is_writable,
                })
                .collect(),
            data: &instruction.data,
        })
        .collect();
    let mut data = construct_instructions_data(&borrowed);
    let end = data.len() - 2;
    data[end..].copy_from_slice(&current.to_le_bytes());
    data
}

fn key(dice: &mut Dice) -> Address {
    // Few different ones, so that some are equal.
    Address::new_from_array([dice.byte() % 8; 32])
}

fn instruction(dice: &mut Dice) -> Instruction {
    let accounts = (0..dice.in_range(0..20))
        .map(|_| AccountMeta {
            pubkey: key(dice),
            is_signer: dice.one_in(2),
            is_writable: dice.one_in(2),
        })
        .collect();
    let len = dice.in_range(0..40);
    Instruction { program_id: key(dice), accounts, data: dice.bytes(len) }
}

fn transaction(dice: &mut Dice) -> Vec<Instruction> {
    (0..dice.in_range(1..8)).map(|_| instruction(dice)).collect()
}

#[test]
fn agrees_with_the_standard_parser_on_valid_transactions() {
    play("parser, valid transactions", 20_000, 0.1, |_, dice| {
        let instructions = transaction(dice);
        let current = dice.in_range(0..instructions.len()) as u16;
        let mut data = serialized(&instructions, current);
        assert_eq!(current_index(&data), Some(current));
        for index in 0..=instructions.len() as u16 {
            assert_agreement(&mut data, index);
        }
        assert_agreement(&mut data, u16::MAX);
    });
}

#[test]
fn agrees_with_the_standard_parser_on_damaged_transactions() {
    play("parser, damaged transactions", 50_000, 0.1, |_, dice| {
        let instructions = transaction(dice);
        let mut data = serialized(&instructions, 0);
        for _ in 0..dice.in_range(1..6) {
            // Offsets and lengths at the beginning are worth most.
            let end = if dice.one_in(2) { data.len().min(24) } else { data.len() };
            let position = dice.in_range(0..end);
            data[position] = dice.byte();
        }
        if dice.one_in(3) {
            let len = dice.in_range(0..data.len() + 1);
            data.truncate(len);
        }
        for index in 0..=instructions.len() as u16 {
            assert_agreement(&mut data, index);
        }
    });
}

#[test]
fn agrees_with_the_standard_parser_on_arbitrary_bytes() {
    play("parser, arbitrary bytes", 100_000, 0.1, |_, dice| {
        let len = dice.in_range(0..300);
        let mut data = dice.bytes(len);
        if let Some(count) = data.first_chunk_mut::<2>()
            && dice.one_in(2)
        {
            *count = [dice.byte() % 4, 0];
        }
        let index = if dice.one_in(4) { dice.number() as u16 } else { (dice.byte() % 4).into() };
        assert_agreement(&mut data, index);
        assert_eq!(current_index(&data).is_some(), data.len() >= 2);

        let keeper = key(dice);
        let expected = ExpectedLoan {
            keeper: &keeper,
            flash_reserve: &keeper,
            mint: &keeper,
            token_account: &keeper,
        };
        let (borrow, repay) = (dice.byte() % 4, dice.byte() % 4);
        verify_flash_pair(&data, borrow, repay, &expected).expect_err("arbitrary bytes");
        verify_bracket(&data, borrow, repay, repay).expect_err("arbitrary bytes");
    });
}

/// A flash loan around instruction 2, right in every respect.
struct Loan {
    instructions: Vec<Instruction>,
    current: u16,
    borrow_index: u8,
    repay_index: u8,
    keys: [Address; 12],
}

impl Loan {
    fn new(dice: &mut Dice) -> Self {
        let keys: [Address; 12] =
            std::array::from_fn(|position| Address::new_from_array([100 + position as u8; 32]));
        let accounts: Vec<_> = keys.iter().map(|key| AccountMeta::new(*key, false)).collect();
        let amount = dice.number().to_le_bytes();
        let borrow = Instruction {
            program_id: KLEND_PROGRAM_ID,
            accounts: accounts.clone(),
            data: [&FLASH_BORROW_DISCRIMINATOR[..], &amount].concat(),
        };
        let repay = Instruction {
            program_id: KLEND_PROGRAM_ID,
            accounts,
            data: [&FLASH_REPAY_DISCRIMINATOR[..], &amount, &[1]].concat(),
        };
        let instructions = vec![instruction(dice), borrow, instruction(dice), repay];
        Self { instructions, current: 2, borrow_index: 1, repay_index: 3, keys }
    }

    fn verify(&self) -> Result<u64, ProgramError> {
        verify_flash_pair(
            &serialized(&self.instructions, self.current),
            self.borrow_index,
            self.repay_index,
            &ExpectedLoan {
                keeper: &self.keys[0],
                flash_reserve: &self.keys[3],
                mint: &self.keys[4],
                token_account: &self.keys[6],
            },
        )
    }

    /// Whether it is a loan around the running instruction, said once more in
    /// other words.
    fn is_right(&self) -> bool {
        let (borrow, repay) = (usize::from(self.borrow_index), usize::from(self.repay_index));
        let (Some(b), Some(r)) = (self.instructions.get(borrow), self.instructions.get(repay))
        else {
            return false;
        };
        let expected_repay_data = || {
            let mut data = FLASH_REPAY_DISCRIMINATOR.to_vec();
            data.extend(&b.data[8..]);
            data.push(self.borrow_index);
            data
        };
        borrow < usize::from(self.current)
            && usize::from(self.current) < repay
            && b.program_id == KLEND_PROGRAM_ID
            && r.program_id == KLEND_PROGRAM_ID
            && b.data.len() == 16
            && b.data.starts_with(&FLASH_BORROW_DISCRIMINATOR)
            && r.data == expected_repay_data()
            && b.accounts == r.accounts
            && b.accounts.len() >= 12
            && [0, 3, 4, 6].iter().all(|i| b.accounts[*i].pubkey == self.keys[*i])
    }

    fn bend(&mut self, dice: &mut Dice) {
        let index = *dice.pick(&[1, 1, 3, 3, 2]);
        // Both halves alike, now and then: that klend's own checks would let through.
        let both = dice.one_in(3);
        let targets = if both { vec![1, 3] } else { vec![index] };
        let (what, position, byte) = (dice.in_range(0..9), dice.number() as usize, dice.byte());
        for target in targets {
            let instruction = &mut self.instructions[target];
            match what {
                0 if !instruction.data.is_empty() => {
                    let position = position % instruction.data.len();
                    instruction.data[position] = byte;
                }
                1 => instruction.data.push(byte),
                2 => drop(instruction.data.pop()),
                3 if !instruction.accounts.is_empty() => {
                    let position = position % instruction.accounts.len();
                    instruction.accounts[position].pubkey = Address::new_from_array([byte; 32]);
                }
                4 => instruction.accounts.push(AccountMeta::new(self.keys[0], false)),
                5 => drop(instruction.accounts.pop()),
                6 => instruction.program_id = Address::new_from_array([byte; 32]),
                _ => {}
            }
        }
        match what {
            7 => self.borrow_index = byte % 5,
            8 => self.repay_index = byte % 5,
            _ if dice.one_in(6) => self.current = u16::from(dice.byte() % 5),
            _ if dice.one_in(12) => {
                let at = position % self.instructions.len();
                let moved = self.instructions.remove(at);
                self.instructions.insert(dice.in_range(0..4), moved);
            }
            _ => {}
        }
    }
}

#[test]
fn a_loan_is_accepted_exactly_when_it_is_right() {
    let (mut accepted, mut refused) = (0, 0);
    play("parser, bent loans", 50_000, 0.1, |_, dice| {
        let mut loan = Loan::new(dice);
        for _ in 0..dice.in_range(0..3) {
            loan.bend(dice);
        }
        let result = loan.verify();
        assert_eq!(result.is_ok(), loan.is_right(), "{:?}", loan.instructions);
        match result {
            Ok(principal) => {
                accepted += 1;
                let borrow = &loan.instructions[usize::from(loan.borrow_index)];
                assert_eq!(borrow.data[8..], principal.to_le_bytes());
            }
            Err(_) => refused += 1,
        }
    });
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_look_alike_of_klend_does_not_lend() {
    let mut dice = Dice::new(1, 1);
    for half in [1, 3] {
        let mut loan = Loan::new(&mut dice);
        loan.verify().unwrap();
        loan.instructions[half].program_id = Address::new_unique();
        let error = if half == 1 {
            FlashLiquidatorError::FlashBorrowInvalid
        } else {
            FlashLiquidatorError::FlashRepayInvalid
        };
        assert_eq!(loan.verify().unwrap_err(), ProgramError::Custom(error.into()));
    }
    // The staging deployment is another program too.
    assert_ne!(klend_model::constants::KLEND_STAGING_PROGRAM_ID, KLEND_PROGRAM_ID);
    assert_eq!(flash_liquidator::klend::PROGRAM_ID, KLEND_PROGRAM_ID);
    assert_eq!(flash_liquidator::ID, receiver::PROGRAM_ID);
}

#[test]
fn each_part_of_a_loan_is_looked_at() {
    let mut dice = Dice::new(2, 2);
    for half in [1, 3] {
        for position in 0..Loan::new(&mut dice).instructions[half].data.len() {
            let mut loan = Loan::new(&mut dice);
            loan.instructions[half].data[position] ^= 1;
            loan.verify().expect_err("a bit of the data");
        }
        for position in 0..12 {
            let mut loan = Loan::new(&mut dice);
            loan.instructions[half].accounts[position].pubkey = Address::new_unique();
            loan.verify().expect_err("an account");
        }
    }
}
