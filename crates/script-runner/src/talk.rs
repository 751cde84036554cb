//! Both directions of the stream to a process, beside everything else: neither holds up who watches the clock.

use futures_util::future::join;
use script_protocol::{FromWorker, ToWorker};
use tokio::sync::mpsc;

use crate::process::{Reader, Writer};

/// What is heard of a process.
pub(crate) enum Heard {
    Message(FromWorker, Vec<u8>),
    /// What is no message of its.
    Nonsense(String),
    /// It has nothing more to say.
    End,
}

/// Hands on what the process says; what is no message of its ends that.
pub(crate) async fn listen(reader: &mut Reader, said: mpsc::Sender<Heard>) {
    loop {
        let heard = match reader.next().await {
            Ok(Some((message, payload))) => Heard::Message(message, payload),
            Ok(None) => Heard::End,
            Err(error) => Heard::Nonsense(format!("it sent what is no message: {error}")),
        };
        let last = !matches!(heard, Heard::Message(..));
        if said.send(heard).await.is_err() || last {
            return;
        }
    }
}

/// Sends what is to be sent. A process that is gone is noticed by who listens.
pub(crate) async fn speak(writer: &mut Writer, to_send: &mut mpsc::Receiver<(ToWorker, Vec<u8>)>) {
    while let Some((message, payload)) = to_send.recv().await {
        if writer.send(&message, &payload).await.is_err() {
            return;
        }
    }
}

/// Both directions, for as long as anybody needs them.
pub(crate) async fn beside(listen: impl Future<Output = ()>, speak: impl Future<Output = ()>) {
    join(listen, speak).await;
    std::future::pending::<()>().await;
}
