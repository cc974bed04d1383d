//! The same transactions on solana-program-test: the bank of a validator instead
//! of LiteSVM, so that two runtimes have to agree.

use flash_liquidator_client::{decode::Logs, receiver, transaction::transaction_bytes};
use klend_fork::{
    Failure, ForkError, Outcome, ProgramData, TOKEN_2022_PROGRAM_ID, TOKEN_PROGRAM_ID, World,
};
use klend_model::constants::{FARMS_PROGRAM_ID, KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_address::{Address, address};
use solana_clock::Clock;
use solana_hash::Hash;
use solana_program_test::{ProgramTest, ProgramTestContext};
use solana_sdk_ids::{address_lookup_table, bpf_loader, bpf_loader_upgradeable, system_program};
use solana_transaction::versioned::VersionedTransaction;

/// Forwards a call; see `tests/programs/cpi-forwarder`.
pub const CPI_FORWARDER: Address = address!("CpiForwarder1111111111111111111111111111111");

const PROGRAMS: [Address; 5] =
    [receiver::PROGRAM_ID, KLEND_PROGRAM_ID, FARMS_PROGRAM_ID, swap_stand_in::ID, CPI_FORWARDER];

/// Owners of the accounts that are taken along; the rest is the runtime's own.
const OWNERS: [Address; 9] = [
    system_program::ID,
    TOKEN_PROGRAM_ID,
    TOKEN_2022_PROGRAM_ID,
    address_lookup_table::ID,
    SCOPE_PROGRAM_ID,
    KLEND_PROGRAM_ID,
    FARMS_PROGRAM_ID,
    swap_stand_in::ID,
    receiver::PROGRAM_ID,
];

/// More lamports than any account of a test has: LiteSVM's own faucet.
const FAUCET_LAMPORTS: u64 = 1 << 60;

/// Bytes before the ELF in the data account of an upgradeable program.
const PROGRAM_DATA_HEADER: usize = 45;

/// Lamports of one signature.
const SIGNATURE_FEE: u64 = 5_000;

/// Copies `world` into a bank, executes there what `sign` makes for a blockhash,
/// and copies back what came of it.
///
/// # Errors
/// [`ForkError::Failed`] with logs and compute units, as from LiteSVM.
///
/// # Panics
/// When the bank cannot be started or does not answer.
pub fn execute(
    world: &mut World,
    sign: impl FnOnce(Hash) -> Result<VersionedTransaction, ForkError>,
) -> Result<Outcome, ForkError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    runtime.block_on(async {
        let keys = accounts(world).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        let context = start(world).await;
        let transaction = sign(context.last_blockhash)?;
        let outcome = process(&context, transaction).await?;
        for key in keys {
            let account = context.banks_client.get_account(key).await.expect("the bank answers");
            world.set_account(&key, account.unwrap_or_default())?;
        }
        Ok(outcome)
    })
}

/// Accounts of the market and its users.
fn accounts(world: &mut World) -> Vec<(Address, Account)> {
    world
        .svm()
        .accounts_db()
        .inner
        .iter()
        .filter(|(_, account)| {
            OWNERS.contains(account.owner())
                && !account.executable()
                && account.lamports() < FAUCET_LAMPORTS
        })
        .map(|(key, account)| (*key, Account::from(account.clone())))
        .collect()
}

/// The code of a deployed program.
fn elf(world: &mut World, program: &Address) -> Option<Vec<u8>> {
    let account = world.account(program)?;
    if account.owner != bpf_loader_upgradeable::ID {
        return Some(account.data);
    }
    let (data, _) = Address::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::ID);
    Some(world.account(&data)?.data.split_off(PROGRAM_DATA_HEADER))
}

async fn start(world: &mut World) -> ProgramTestContext {
    let mut test = ProgramTest::default();
    // It has set its logger to tell of every instruction; errors are enough, or RUST_LOG.
    agave_logger::setup();
    test.set_compute_max_units(1_400_000);
    for program in PROGRAMS {
        if let Some(data) = elf(world, &program) {
            let account = Account {
                lamports: 100_000_000_000,
                data,
                owner: bpf_loader::ID,
                executable: true,
                rent_epoch: u64::MAX,
            };
            test.add_account(program, account);
        }
    }
    let mut context = test.start_with_context().await;
    for (key, mut account) in accounts(world) {
        if account.owner == address_lookup_table::ID {
            // Slot of the last extension: before any slot of this bank.
            account.data[12..20].fill(0);
        }
        context.set_account(&key, &AccountSharedData::from(account));
    }
    context.set_sysvar(&world.svm().get_sysvar::<Clock>());
    context
}

async fn process(
    context: &ProgramTestContext,
    transaction: VersionedTransaction,
) -> Result<Outcome, ForkError> {
    let bytes = transaction_bytes(&transaction.message);
    let fee = SIGNATURE_FEE * transaction.signatures.len() as u64;
    let processed = context
        .banks_client
        .process_transaction_with_metadata(transaction)
        .await
        .expect("the bank answers");
    let (logs, units) = processed
        .metadata
        .map(|metadata| (metadata.log_messages, metadata.compute_units_consumed))
        .unwrap_or_default();
    let data = Logs::read(&logs).data;
    let outcome = Outcome {
        units,
        instructions: Vec::new(),
        data: data.into_iter().map(|(program, data)| ProgramData { program, data }).collect(),
        logs,
        bytes,
        return_data: None,
        fee,
    };
    match processed.result {
        Ok(()) => Ok(outcome),
        Err(error) => Err(ForkError::Failed(Box::new(Failure { error, outcome }))),
    }
}
