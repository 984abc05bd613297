//! Commands that do one thing with the data and end: those of analytics, on the
//! database that `modash` itself would use.

use clap::Subcommand;
use modash_access::TokenCommand;
use modash_analytics::{
    AnalyticsConfig,
    data::{BudgetsCommand, DataCommand, NamesCommand, PricesCommand, RollupsCommand},
};
use modash_runtime::{Mistakes, ServiceContext};

use crate::{
    DatabaseConfig, Error, database::Database, doctor::DoctorOptions, open::OpenOptions,
    status::StatusOptions,
};

/// What to do instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make up, measure, drop or export stored requests
    #[command(subcommand)]
    Data(DataCommand),
    /// Repair what is computed from stored requests
    #[command(subcommand)]
    Rollups(RollupsCommand),
    /// Names of client keys, users and values of tags
    #[command(subcommand)]
    Names(NamesCommand),
    /// How much may be used in a period
    #[command(subcommand)]
    Budgets(BudgetsCommand),
    /// What requests cost: check, show, import and apply prices
    #[command(subcommand)]
    Prices(PricesCommand),
    /// Look at everything that modash needs, and say what to mend
    ///
    /// Looks at upstreams, the database, disks, ports, TLS, the limit of open files and
    /// proxy variables, says what is wrong, why it matters and what to do, and shows the
    /// lines that point applications at modash. Changes nothing, and has nothing
    /// generated unless told so by --try. Exit code 0: all well; 1: something to mend;
    /// 64: a mistake in the settings.
    Doctor(DoctorOptions),
    /// Show what runs, and follow it in the terminal
    ///
    /// On top are the totals since midnight and whether every event arrived; below, each
    /// running request. `q` quits. If standard output is no terminal, the table is
    /// written once.
    Status(StatusOptions),
    /// Open the dashboard in the browser
    ///
    /// Prints its address, and where the token is if it asks for one. The modash whose
    /// dashboard it is has to run.
    Open(OpenOptions),
    /// Write the script that completes commands and flags in a shell
    ///
    /// For bash: modash completions bash > /etc/bash_completion.d/modash
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page
    ///
    /// To install it: modash man > /usr/local/share/man/man1/modash.1
    Man,
    /// Make, show or revoke the tokens of MODASH_TOKENS_FILE
    #[command(subcommand)]
    Token(TokenCommand),
}

impl Command {
    /// Checks what the flags say together and notes every mistake.
    pub fn check(&self, analytics: &AnalyticsConfig, mistakes: &mut Mistakes) {
        match self {
            Self::Data(command) => command.check(analytics, mistakes),
            Self::Rollups(command) => command.check(mistakes),
            Self::Prices(command) => command.check(mistakes),
            _ => {}
        }
    }

    /// Does it, on the database of `DATABASE_URL`, on the private one of a modash
    /// that runs, or on the private one that it starts for itself.
    ///
    /// # Errors
    /// If there is no database, or the command fails.
    pub async fn run(
        self,
        database: DatabaseConfig,
        mut analytics: AnalyticsConfig,
        context: ServiceContext,
    ) -> Result<(), Error> {
        if let Self::Prices(command) = &self
            && !command.needs_database()
        {
            return Ok(command.print(&analytics)?);
        }
        let running = Database::start_or_join(&database, &mut analytics).await?;
        let work = async {
            match self {
                Self::Data(command) => command.run(analytics, context).await,
                Self::Rollups(command) => command.run(analytics, context).await,
                Self::Names(command) => command.run(analytics, context).await,
                Self::Budgets(command) => command.run(analytics, context).await,
                Self::Prices(command) => command.run(analytics, context).await,
                // Done in `cli`: they need other settings.
                _ => Ok(()),
            }
        };
        let result = tokio::select! {
            result = Box::pin(work) => result.map_err(Error::from),
            error = running.ended() => Err(error),
        };
        running.stop().await;
        result
    }
}
