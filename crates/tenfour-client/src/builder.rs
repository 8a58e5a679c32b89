//! From a name to a client.

use std::sync::Arc;
use std::time::Duration;

use tenfour_identity::clock::Clock;
use tenfour_identity::{Identity, KnownHosts};
use tenfour_proto::native::{ProducerKind, Resumption};
use tenfour_proto::{Address, Durability, ParseAddressError, ProducerId};

use crate::client::{Client, Producer};
use crate::config::{ClientConfig, options};
use crate::connection::driver::{self, Tries};
use crate::connection::state::Shared;
use crate::error::ConnectError;
use crate::random::random_id;

impl Client {
    /// Begins to say how to connect to the server at an address (`HOST[:PORT]`).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = tenfour_client::Client::builder("backup.example").connect().await?;
    /// let receipt = client.send("inbox", "backup done").await?.await?;
    /// println!("stored in {} at {}", receipt.mailbox, receipt.offset);
    /// client.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder<A>(address: A) -> ClientBuilder
    where
        A: TryInto<Address>,
        A::Error: Into<ParseAddressError>,
    {
        ClientBuilder::new(address)
    }
}

/// Says how to connect; [`connect`](Self::connect) does it.
#[derive(Clone, Debug)]
#[must_use = "nothing is connected yet"]
pub struct ClientBuilder {
    addresses: Result<Vec<Address>, ParseAddressError>,
    config: Option<ClientConfig>,
    changes: Changes,
    sends: bool,
}

/// What differs from the configuration, or from the defaults.
#[derive(Clone, Debug, Default)]
struct Changes {
    identity: Option<Identity>,
    known_hosts: Option<KnownHosts>,
    timeout: Option<Duration>,
    durability: Option<Durability>,
    id: Option<String>,
    window: Option<usize>,
}

impl ClientBuilder {
    pub(crate) fn new<A>(address: A) -> Self
    where
        A: TryInto<Address>,
        A::Error: Into<ParseAddressError>,
    {
        ClientBuilder {
            addresses: address
                .try_into()
                .map(|address| vec![address])
                .map_err(Into::into),
            config: None,
            changes: Changes::default(),
            sends: true,
        }
    }

    /// Another address of the same server. They are tried in turn.
    pub fn or_address(mut self, address: Address) -> Self {
        if let Ok(addresses) = &mut self.addresses {
            addresses.push(address);
        }
        self
    }

    /// Everything at once; what is said by other calls wins.
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// The client's key, instead of the user's own.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.changes.identity = Some(identity);
        self
    }

    /// The servers that are known, instead of those of the user.
    pub fn known_hosts(mut self, known_hosts: KnownHosts) -> Self {
        self.changes.known_hosts = Some(known_hosts);
        self
    }

    /// From a message's acceptance to its receipt; also for connecting. 30 seconds unless said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.changes.timeout = Some(timeout);
        self
    }

    /// The least durability that counts as stored. [`Durability::Disk`] unless said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.changes.durability = Some(durability);
        self
    }

    /// Names the producer, so that the same messages under the same id are stored once, whoever repeats them.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.changes.id = Some(id.into());
        self
    }

    /// Most messages without an answer; [`send`](Client::send) waits for a place among them. 1,000 unless said.
    pub fn window(mut self, messages: usize) -> Self {
        self.changes.window = Some(messages);
        self
    }

    /// A client that sends nothing: it reads, consumes and looks. It opens no producer on the server, and demands no
    /// durability of it unless said.
    pub fn without_sending(mut self) -> Self {
        self.sends = false;
        self
    }

    /// Connects to the first address that answers, and says who we are. Without a key and known servers of the caller's
    /// they are those of the user: the key is made on first use.
    ///
    /// # Errors
    ///
    /// When no address answers, the server is not the one we know, or it does not let us in. Later disturbances do not
    /// surface here: the client connects again, until the deadline of a message.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let sends = self.sends;
        let (addresses, config) = self.settled()?;
        let (id, resumption) = match &config.id {
            Some(id) => (id.clone(), Resumption::Repeat),
            None => (random_id(), Resumption::Continue),
        };
        let producer = ProducerId::of_key(&id);
        let wish = sends.then_some((producer, resumption, ProducerKind::OneShot));
        let shared = Arc::new(Shared::new(options(&config, wish, None), Clock::start(), &config));
        let (address, _) = driver::start(
            Arc::clone(&shared),
            addresses,
            config.clone(),
            Tries::UntilDeadline,
        )
        .await?;
        let producer = Producer { producer, id, sends };
        Ok(Client::new(shared, producer, address, config))
    }

    /// Shows the secret of an invitation, once; the server then knows our key. Gives the address that answered, and the
    /// rights that the key has now.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`ConnectError::Invitation`] when the server does not take it.
    pub async fn join(self, secret: [u8; 32]) -> Result<(Address, String), ConnectError> {
        let (addresses, config) = self.settled()?;
        let options = options(&config, None, Some(secret));
        let shared = Arc::new(Shared::new(options, Clock::start(), &config));
        let welcomed = driver::start(Arc::clone(&shared), addresses, config, Tries::UntilDeadline).await?;
        shared.finish();
        Ok(welcomed)
    }

    fn settled(self) -> Result<(Vec<Address>, ClientConfig), ConnectError> {
        let addresses = self.addresses.map_err(ConnectError::Address)?;
        let changes = self.changes;
        let mut config = match (self.config, changes.identity, changes.known_hosts) {
            (Some(config), identity, known_hosts) => ClientConfig {
                identity: identity.unwrap_or(config.identity),
                known_hosts: known_hosts.unwrap_or(config.known_hosts),
                ..config
            },
            (None, Some(identity), Some(known_hosts)) => ClientConfig::new(identity, known_hosts),
            (None, identity, known_hosts) => {
                let home = ClientConfig::from_home().map_err(ConnectError::Setup)?;
                ClientConfig {
                    identity: identity.unwrap_or(home.identity),
                    known_hosts: known_hosts.unwrap_or(home.known_hosts),
                    ..home
                }
            }
        };
        config.timeout = changes.timeout.unwrap_or(config.timeout);
        config.durability = match (changes.durability, self.sends) {
            (Some(durability), _) => durability,
            (None, true) => config.durability,
            (None, false) => Durability::Memory,
        };
        config.window = changes.window.unwrap_or(config.window).max(1);
        config.id = changes.id.or(config.id);
        Ok((addresses, config))
    }
}
