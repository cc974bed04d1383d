use std::{io, path::Path};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// `keeper completions`.
pub fn completions(shell: Shell) -> Result<()> {
    clap_complete::generate(shell, &mut Cli::command(), "keeper", &mut io::stdout());
    Ok(())
}

/// `keeper man`: one page per command into a folder, or the main page to standard
/// output.
pub fn man(out: Option<&Path>) -> Result<()> {
    match out {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder)
            .with_context(|| format!("{}", folder.display())),
        None => Ok(clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?),
    }
}
