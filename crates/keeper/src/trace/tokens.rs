//! Transfers of tokens and lamports among a transaction's calls.

use flash_liquidator_client::token::TOKEN_2022_PROGRAM_ID;
use solana_address::Address;
use solana_sdk_ids::system_program;

use super::{
    Call,
    names::{Kind, kind},
};

const TRANSFER: u8 = 3;
const TRANSFER_CHECKED: u8 = 12;
/// Token-2022's transfers with a fee, the second of its extension's instructions.
const WITH_FEE: [u8; 2] = [26, 1];
/// Several instructions in one: for each a count of accounts, a length, and its data.
const BATCH: u8 = 255;

/// Tokens that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    pub from: Address,
    pub to: Address,
    /// Raw units, before a mint's own fee.
    pub amount: u64,
}

/// The transfers that a call of a token program makes.
pub fn transfers(call: &Call) -> Vec<Transfer> {
    if kind(&call.program) != Kind::Token {
        return Vec::new();
    }
    if call.data.first() != Some(&BATCH) {
        return transfer(&call.program, &call.accounts, &call.data).into_iter().collect();
    }
    let mut found = Vec::new();
    let (mut accounts, mut data) = (&call.accounts[..], &call.data[1..]);
    while let [count, len, rest @ ..] = data {
        let (count, len) = (usize::from(*count), usize::from(*len));
        let (Some(own), Some(body)) = (accounts.get(..count), rest.get(..len)) else { break };
        found.extend(transfer(&call.program, own, body));
        (accounts, data) = (&accounts[count..], &rest[len..]);
    }
    found
}

fn transfer(program: &Address, accounts: &[Address], data: &[u8]) -> Option<Transfer> {
    let (amount, to) = match data {
        [TRANSFER, rest @ ..] => (rest, 1),
        [TRANSFER_CHECKED, rest @ ..] => (rest, 2),
        data if *program == TOKEN_2022_PROGRAM_ID && data.starts_with(&WITH_FEE) => (&data[2..], 2),
        _ => return None,
    };
    Some(Transfer {
        from: *accounts.first()?,
        to: *accounts.get(to)?,
        amount: u64::from_le_bytes(*amount.first_chunk()?),
    })
}

/// The lamports that a transfer of the system program moves.
pub fn lamports(call: &Call) -> Option<Transfer> {
    let amount = call.data.strip_prefix(&[2, 0, 0, 0])?;
    let [from, to, ..] = call.accounts[..] else { return None };
    let amount = u64::from_le_bytes(*amount.first_chunk()?);
    (call.program == system_program::ID).then_some(Transfer { from, to, amount })
}

#[cfg(test)]
mod tests {
    use flash_liquidator_client::token::TOKEN_PROGRAM_ID;

    use super::*;

    fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    fn moved(program: Address, accounts: &[u8], data: &[&[u8]]) -> Vec<(Address, Address, u64)> {
        let accounts = accounts.iter().copied().map(key).collect();
        let call = Call { program, accounts, data: data.concat(), ..Call::default() };
        transfers(&call).iter().map(|moved| (moved.from, moved.to, moved.amount)).collect()
    }

    #[test]
    fn every_form_of_a_transfer_is_read() {
        let amount = 7u64.to_le_bytes();
        let one = [(key(1), key(2), 7)];
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 2, 3], &[&[3], &amount]), one);
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 9, 2, 3], &[&[12], &amount, &[6]]), one);
        let fee = [[6].as_slice(), &1u64.to_le_bytes()].concat();
        assert_eq!(moved(TOKEN_2022_PROGRAM_ID, &[1, 9, 2, 3], &[&[26, 1], &amount, &fee]), one);
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 9, 2, 3], &[&[26, 1], &amount, &fee]), []);
        // Burning, another program, and what is cut off move nothing.
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 2, 3], &[&[8], &amount]), []);
        assert_eq!(moved(key(5), &[1, 2, 3], &[&[3], &amount]), []);
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 2, 3], &[&[3], &amount[..7]]), []);
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1], &[&[3], &amount]), []);
    }

    #[test]
    fn a_batch_is_several() {
        let amount = 7u64.to_le_bytes();
        let batch: [&[u8]; 5] = [&[255, 3, 9, 3], &amount, &[4, 10, 12], &amount, &[6]];
        let both = [(key(1), key(2), 7), (key(4), key(6), 7)];
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 2, 3, 4, 5, 6, 7], &batch), both);
        // The second names accounts that are not there.
        assert_eq!(moved(TOKEN_PROGRAM_ID, &[1, 2, 3, 4], &batch), both[..1]);
    }

    #[test]
    fn lamports_are_the_system_programs() {
        let data = [&[2, 0, 0, 0][..], &7u64.to_le_bytes()].concat();
        let accounts = vec![key(1), key(2)];
        let mut call = Call { program: system_program::ID, accounts, data, ..Call::default() };
        assert_eq!(lamports(&call).map(|moved| (moved.to, moved.amount)), Some((key(2), 7)));
        call.program = key(3);
        assert_eq!(lamports(&call), None);
    }
}
