//! What Token-2022 can have against an account: extensions of a mint, and fees that were
//! withheld in an account.
//!
//! Behind a base of 165 bytes and one that says what it is, accounts of Token-2022 hold a
//! list of extensions: type and length, two bytes each, and the extension.

use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};

use crate::token::TOKEN_2022_PROGRAM_ID;

/// Bytes before the list; mints are padded to as many as token accounts have.
const BASE: usize = 166;
const TRANSFER_FEE_CONFIG: u16 = 1;
const TRANSFER_FEE_AMOUNT: u16 = 2;
const DEFAULT_ACCOUNT_STATE: u16 = 6;
const NON_TRANSFERABLE: u16 = 9;
const TRANSFER_HOOK: u16 = 14;
const PAUSABLE: u16 = 26;
/// A default account state of frozen.
const FROZEN: u8 = 2;

/// The extension of this type in an account's data.
fn extension(data: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = data.get(BASE..)?;
    loop {
        let [a, b, c, d] = *rest.first_chunk()?;
        let (kind, len) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        let value = rest.get(4..4 + len)?;
        if kind == wanted {
            return Some(value);
        }
        if kind == 0 {
            return None;
        }
        rest = &rest[4 + len..];
    }
}

/// What a mint has that liquidating in it has to reckon with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// New accounts are frozen until its authority thaws them: they cannot be used.
    FrozenByDefault,
    /// All transfers are stopped.
    Paused,
    /// It cannot be transferred at all.
    NonTransferable,
    /// Transfers cost up to so many hundredths of a per cent.
    Fee(u16),
    /// Transfers call this program.
    Hook(Address),
}

impl Trait {
    /// Whether nothing can be done with its accounts.
    #[must_use]
    pub fn forbids(self) -> bool {
        matches!(self, Self::FrozenByDefault | Self::Paused | Self::NonTransferable)
    }
}

impl std::fmt::Display for Trait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FrozenByDefault => f.write_str("its accounts are frozen when they are made"),
            Self::Paused => f.write_str("it is paused"),
            Self::NonTransferable => f.write_str("it cannot be transferred"),
            Self::Fee(bps) => write!(f, "transfers cost {bps} bps"),
            Self::Hook(program) => write!(f, "transfers call program {program}"),
        }
    }
}

/// What stands in a mint's account; nothing for one of SPL Token.
#[must_use]
pub fn traits(owner: &Address, data: &[u8]) -> Vec<Trait> {
    if *owner != TOKEN_2022_PROGRAM_ID {
        return Vec::new();
    }
    let mut traits = Vec::new();
    if extension(data, DEFAULT_ACCOUNT_STATE).and_then(<[u8]>::first) == Some(&FROZEN) {
        traits.push(Trait::FrozenByDefault);
    }
    // Authority, then whether it is paused.
    if extension(data, PAUSABLE).and_then(|value| value.get(32)) == Some(&1) {
        traits.push(Trait::Paused);
    }
    if extension(data, NON_TRANSFERABLE).is_some() {
        traits.push(Trait::NonTransferable);
    }
    // Two authorities, what is withheld, and two fees: from an epoch on, most, basis points.
    let fee = extension(data, TRANSFER_FEE_CONFIG).map_or(0, |value| {
        let bps =
            |at: usize| value.get(at..at + 2).map_or(0, |it| u16::from_le_bytes([it[0], it[1]]));
        bps(88).max(bps(106))
    });
    if fee > 0 {
        traits.push(Trait::Fee(fee));
    }
    // Authority, then program; none where it is all zeros.
    let hook = extension(data, TRANSFER_HOOK).and_then(|value| value.get(32..)?.first_chunk());
    let hook = hook.copied().map(Address::new_from_array);
    traits.extend(hook.filter(|program| *program != Address::default()).map(Trait::Hook));
    traits
}

/// Bytes of an associated token account of a mint.
#[must_use]
pub fn account_len(mint_owner: &Address, mint: &[u8]) -> u64 {
    const PLAIN: u64 = 165;
    const TYPE_AND_LENGTH: u64 = 4;
    if *mint_owner != TOKEN_2022_PROGRAM_ID {
        return PLAIN;
    }
    // What an extension of the mint asks of its accounts.
    let asked =
        [(TRANSFER_FEE_CONFIG, 8), (NON_TRANSFERABLE, 0), (TRANSFER_HOOK, 1), (PAUSABLE, 0)];
    let asked = asked.iter().filter(|(kind, _)| extension(mint, *kind).is_some());
    // Its owner cannot be changed, which is an extension too.
    PLAIN + 1 + TYPE_AND_LENGTH + asked.map(|(_, len)| TYPE_AND_LENGTH + len).sum::<u64>()
}

/// Raw units of fees that were withheld in a token account: it cannot be closed before
/// they are harvested.
#[must_use]
pub fn withheld(owner: &Address, data: &[u8]) -> u64 {
    let is_extended = *owner == TOKEN_2022_PROGRAM_ID;
    let amount = is_extended.then(|| extension(data, TRANSFER_FEE_AMOUNT)).flatten();
    amount.and_then(|value| value.first_chunk().copied()).map_or(0, u64::from_le_bytes)
}

/// Moves fees that were withheld in a token account to its mint; anybody may.
#[must_use]
pub fn harvest_withheld(mint: &Address, account: &Address) -> Instruction {
    // The extension's instructions, and which of them.
    const TRANSFER_FEE: u8 = 26;
    const HARVEST: u8 = 4;
    Instruction {
        program_id: TOKEN_2022_PROGRAM_ID,
        accounts: vec![AccountMeta::new(*mint, false), AccountMeta::new(*account, false)],
        data: vec![TRANSFER_FEE, HARVEST],
    }
}

#[cfg(test)]
mod tests {
    use spl_token_2022_interface::{
        extension::{
            BaseStateWithExtensionsMut, ExtensionType, StateWithExtensionsMut,
            default_account_state::DefaultAccountState,
            pausable::PausableConfig,
            transfer_fee::{self, TransferFeeAmount, TransferFeeConfig},
            transfer_hook::TransferHook,
        },
        state::{Account, Mint},
    };

    use super::*;

    #[test]
    fn a_mint_is_read_as_token_2022_writes_it() {
        let program = Address::new_from_array([7; 32]);
        let kinds = [
            ExtensionType::TransferFeeConfig,
            ExtensionType::DefaultAccountState,
            ExtensionType::TransferHook,
            ExtensionType::Pausable,
        ];
        let len = ExtensionType::try_calculate_account_len::<Mint>(&kinds).unwrap();
        let mut data = vec![0; len];
        let mut state = StateWithExtensionsMut::<Mint>::unpack_uninitialized(&mut data).unwrap();
        let fee = state.init_extension::<TransferFeeConfig>(true).unwrap();
        fee.older_transfer_fee.transfer_fee_basis_points = 20.into();
        fee.newer_transfer_fee.transfer_fee_basis_points = 30.into();
        state.init_extension::<DefaultAccountState>(true).unwrap().state = FROZEN;
        let hook = state.init_extension::<TransferHook>(true).unwrap();
        hook.program_id = Some(program).try_into().unwrap();
        state.init_extension::<PausableConfig>(true).unwrap().paused = true.into();
        state.base.is_initialized = true;
        state.pack_base();
        state.init_account_type().unwrap();
        let expected =
            [Trait::FrozenByDefault, Trait::Paused, Trait::Fee(30), Trait::Hook(program)];
        assert_eq!(traits(&TOKEN_2022_PROGRAM_ID, &data), expected);
        assert!(expected[..2].iter().all(|one| one.forbids()));
        assert!(traits(&crate::token::TOKEN_PROGRAM_ID, &data).is_empty());

        let of_account = [
            ExtensionType::ImmutableOwner,
            ExtensionType::TransferFeeAmount,
            ExtensionType::TransferHookAccount,
            ExtensionType::PausableAccount,
        ];
        let len = ExtensionType::try_calculate_account_len::<Account>(&of_account).unwrap();
        assert_eq!(account_len(&TOKEN_2022_PROGRAM_ID, &data), len as u64);
        assert_eq!(account_len(&crate::token::TOKEN_PROGRAM_ID, &data), 165);
        // Cut off anywhere, nothing is read that is not there.
        for end in 0..data.len() {
            drop(traits(&TOKEN_2022_PROGRAM_ID, &data[..end]));
        }
    }

    #[test]
    fn what_is_withheld_is_read_and_harvested_as_token_2022_does() {
        let kinds = [ExtensionType::ImmutableOwner, ExtensionType::TransferFeeAmount];
        let len = ExtensionType::try_calculate_account_len::<Account>(&kinds).unwrap();
        let mut data = vec![0; len];
        let mut state = StateWithExtensionsMut::<Account>::unpack_uninitialized(&mut data).unwrap();
        state
            .init_extension::<spl_token_2022_interface::extension::immutable_owner::ImmutableOwner>(
                true,
            )
            .unwrap();
        let amount = state.init_extension::<TransferFeeAmount>(true).unwrap();
        amount.withheld_amount = 9.into();
        assert_eq!(withheld(&TOKEN_2022_PROGRAM_ID, &data), 9);
        assert_eq!(withheld(&crate::token::TOKEN_PROGRAM_ID, &data), 0);

        let (mint, account) = (Address::new_from_array([1; 32]), Address::new_from_array([2; 32]));
        let expected = transfer_fee::instruction::harvest_withheld_tokens_to_mint(
            &TOKEN_2022_PROGRAM_ID,
            &mint,
            &[&account],
        )
        .unwrap();
        assert_eq!(harvest_withheld(&mint, &account), expected);
    }
}
