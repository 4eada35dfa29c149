//! Commands that are over: the next are made of them, so that no memory goes from one thread to another to stay there.

use tandem_domain::charging::{Context, SessionRequest, SessionVerb};
use tandem_domain::command::Command;
use tandem_domain::identifier::PeerId;
use tandem_domain::service::{Direction, Service};

pub(super) type Commands = Vec<(u64, Command)>;

#[derive(Default)]
pub(super) struct Spare {
    commands: Vec<Command>,
    lists: Vec<Commands>,
}

impl Spare {
    /// As many as are usually under way on one connection.
    const COMMANDS_MAX: usize = 512;
    const LISTS_MAX: usize = 8;

    pub fn keep(&mut self, mut over: Commands) {
        let room = Self::COMMANDS_MAX - self.commands.len();
        let sessions = over.drain(..).map(|(_, command)| command);
        self.commands.extend(sessions.filter(|one| matches!(one, Command::Session(_))).take(room));
        if self.lists.len() < Self::LISTS_MAX {
            self.lists.push(over);
        }
    }

    /// An empty one.
    pub fn list(&mut self) -> Commands {
        self.lists.pop().unwrap_or_default()
    }

    /// Every field is to be written.
    pub fn request(&mut self) -> Box<SessionRequest> {
        match self.commands.pop() {
            Some(Command::Session(request)) => request,
            _ => Box::new(SessionRequest {
                verb: SessionVerb::Open,
                key: Box::default(),
                number: 0,
                peer: PeerId::new(0),
                origin_host: Box::default(),
                origin_realm: Box::default(),
                origin_state: None,
                identities: Default::default(),
                context: Context::new(Service::Data, Direction::Originating),
                groups: Default::default(),
                call: None,
            }),
        }
    }
}
