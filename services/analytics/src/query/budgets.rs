//! Budgets, as admins save and readers list them.

use modash_access::Scope;
use modash_proto::{
    Violations,
    v1::{
        DeleteBudgetRequest, DeleteBudgetResponse, ListBudgetsResponse, SaveBudgetRequest,
        SaveBudgetResponse,
    },
};
use uuid::Uuid;

use super::Queries;
use crate::{budget, error::Failure};

impl Queries {
    pub(super) async fn answer_list_budgets(
        &self,
        scope: Scope,
    ) -> Result<ListBudgetsResponse, Failure> {
        if !scope.is_everything() {
            return Ok(ListBudgetsResponse::default());
        }
        let (rows, notices) = (self.store.budgets().await?, self.store.budget_notices().await?);
        let budgets = rows.iter().map(|row| budget::tell(row, &notices)).collect();
        Ok(ListBudgetsResponse { budgets })
    }

    pub(super) async fn answer_save_budget(
        &self,
        request: SaveBudgetRequest,
    ) -> Result<SaveBudgetResponse, Failure> {
        let mut violations = Violations::default();
        let budget = budget::check(request, &mut violations);
        violations.into_result()?;
        let row = budget::saved(self.store.save_budget(&budget).await?)?;
        tracing::info!(budget = row.name, webhook = budget::origin(&row), "budget saved");
        // So that the answer says how much is used already.
        self.budgets.compute(&row).await?;
        // Perhaps somebody has deleted it since.
        let now = self.store.written_budget(row.budget_id).await?;
        let (row, notices) = now.unwrap_or_else(|| (*row, Vec::new()));
        Ok(SaveBudgetResponse { budget: Some(budget::tell(&row, &notices)) })
    }

    pub(super) async fn answer_delete_budget(
        &self,
        request: DeleteBudgetRequest,
    ) -> Result<DeleteBudgetResponse, Failure> {
        let mut violations = Violations::default();
        let id = Uuid::try_parse(&request.budget_id);
        let id = violations.check("budget_id", id.map_err(|_| "must be the id of a budget"));
        violations.into_result()?;
        if let Some(id) = id {
            self.store.delete_budget(id).await?;
            tracing::info!(budget = %id, "budget deleted");
        }
        Ok(DeleteBudgetResponse {})
    }
}
