//! `board`: the cards on a local page, to look at.
//!
//! It reads the table of tasks and nothing else, so whoever may work the board may look at it. The page is whole without its script, which
//! only fetches it again and puts in place what changed. No browser is opened with its URL: arguments can be read by every user of the machine.

mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use clap::Args;
use domain::kid_tag::KidTag;

use crate::aws::Account;
use crate::clock;
use crate::failure::Failure;
use crate::local_page::{self, Place, escape, page};
use crate::output;
use crate::subject::Subject;
use crate::task::{self, Tasks};
use view::LOOK;

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app board
  On a machine without a browser (and ssh -L 9001:127.0.0.1:9001 to it):
    konduktor-github-app board --port 9001";

/// Show the board on a local page, with conflicts, who caused them, and what was done to each card
///
/// The page changes as the cards do, and changes nothing itself. Only who has its URL can read it, until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The port on 127.0.0.1 [default: one that is free]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    #[command(flatten)]
    table: task::Table,
}

struct Site {
    place: Arc<Place>,
    tasks: Tasks,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let tasks = task::open(&arguments.table, account).await?;
    // What keeps it from being read is better told here than on the page.
    tasks.all().await?;
    let (listener, place) = Place::take(arguments.port, LOOK).await?;
    output::write(format!("The board is on this page: {}\nCtrl-C ends it.\n", place.url()))?;
    let router = Router::new()
        .route("/{path}", get(board))
        .route("/{path}/{task}", get(card))
        .fallback(async || local_page::nothing_here(LOOK))
        .layer(from_fn_with_state(Arc::clone(&place), local_page::guard))
        .with_state(Arc::new(Site { place, tasks }));
    tokio::select! {
        served = axum::serve(listener, router).into_future() => {
            served.map_err(|error| Failure::new(format!("the page cannot be served any more: {error}")))
        }
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn board(State(site): State<Arc<Site>>, Path(path): Path<String>) -> Response {
    if !site.place.is_at(&path) {
        return local_page::nothing_here(LOOK);
    }
    match site.tasks.all().await {
        Ok((cards, unreadable)) => {
            page(StatusCode::OK, "Board", &view::board(cards, unreadable, &site.place.path), LOOK)
        }
        Err(failure) => not_read(&failure),
    }
}

async fn card(State(site): State<Arc<Site>>, Path((path, task)): Path<(String, String)>) -> Response {
    let tag = KidTag::parse(&task).filter(|_| site.place.is_at(&path));
    let Some(tag) = tag else { return local_page::nothing_here(LOOK) };
    match site.tasks.one(&Subject::Task(tag)).await {
        Ok(card) => {
            let body = view::card(&card, &site.place.path, clock::now());
            page(StatusCode::OK, view::title(&card), &body, LOOK)
        }
        Err(failure) => not_read(&failure),
    }
}

fn not_read(failure: &Failure) -> Response {
    page(StatusCode::BAD_GATEWAY, "Not read", &format!("<p>{}</p>", escape(&failure.to_string())), LOOK)
}
