//! `board`: the cards on a local page, to look at.
//!
//! It reads the table of tasks and nothing else, so whoever may work the board may look at it; what needs more, the deliveries of the day and
//! what `verify` finds, has a page of its own. Each page is whole without its script, which only fetches it again and puts in place what changed.
//! No browser is opened with its URL: arguments can be read by every user of the machine.

mod deliveries;
mod state;
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
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::aws::Account;
use crate::clock;
use crate::failure::Failure;
use crate::local_page::{self, Place, escape, page};
use crate::output::Progress;
use crate::stack::{self, Stack};
use crate::subject::Subject;
use crate::task::{self, Tasks};
use crate::verify::{self, Check};
use deliveries::Day;
use view::LOOK;

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app board
  On a machine without a browser (and ssh -L 9001:127.0.0.1:9001 to it):
    konduktor-github-app board --port 9001";

/// Show the board on a local page, with conflicts, who caused them, and what was done to each card
///
/// The page changes as the cards do, and changes nothing itself. Another one beside it shows the deliveries of the last day by what became of
/// them, out of the webhook's log, and what `verify` finds: that takes the stack's InspectPolicy. Only who has the URL can read them, until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The port on 127.0.0.1 [default: one that is free]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,
    #[command(flatten)]
    table: task::TableArguments,
}

struct Site {
    place: Arc<Place>,
    tasks: Tasks,
    looks: UnboundedSender<oneshot::Sender<BoardView>>,
}

/// How things stand: the deliveries of the day, and what `verify` finds.
struct BoardView {
    day: Result<Day, Failure>,
    checks: Vec<Check>,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let tasks = task::open(&arguments.table, account).await?;
    // What keeps it from being read is better told here than on the page.
    tasks.all().await?;
    let (listener, place) = Place::take(arguments.port, LOOK).await?;
    Progress::ForPeople.say(&format!("The board is on this page: {}", place.url()));
    Progress::ForPeople.say("Ctrl-C ends it.");
    let (looks, asked) = unbounded_channel();
    let router = Router::new()
        .route("/{path}", get(board))
        .route("/{path}/state", get(state_now))
        .route("/{path}/{task}", get(card))
        .fallback(async || local_page::nothing_here(LOOK))
        .layer(from_fn_with_state(Arc::clone(&place), local_page::guard))
        .with_state(Arc::new(Site { place, tasks, looks }));
    tokio::select! {
        served = axum::serve(listener, router).into_future() => {
            served.map_err(|error| Failure::new(format!("the page cannot be served any more: {error}")))
        }
        () = look(arguments.table.stack(), account, asked) => Ok(()),
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

async fn state_now(State(site): State<Arc<Site>>, Path(path): Path<String>) -> Response {
    if !site.place.is_at(&path) {
        return local_page::nothing_here(LOOK);
    }
    let (reply, answer) = oneshot::channel();
    let asked = site.looks.send(reply).is_ok();
    match answer.await {
        Ok(BoardView { day, checks }) if asked => {
            page(StatusCode::OK, "Deliveries and checks", &state::page(&day, &checks, &site.place.path), LOOK)
        }
        _ => not_read(&Failure::new("the command is ending")),
    }
}

/// Looks whenever somebody asks, one at a time: it takes seconds, and calls GitHub.
async fn look(stack: &str, account: &Account, mut asked: UnboundedReceiver<oneshot::Sender<BoardView>>) {
    while let Some(reply) = asked.recv().await {
        let day = async { Day::until(clock::now(), &Stack::find(&stack::Name::of(stack), account).await?).await };
        let (day, checks) = tokio::join!(day, verify::look(stack, account));
        // Whoever asked may have closed the page.
        drop(reply.send(BoardView { day, checks }));
    }
}

fn not_read(failure: &Failure) -> Response {
    page(StatusCode::BAD_GATEWAY, "Not read", &format!("<p>{}</p>", escape(&failure.to_string())), LOOK)
}
