//! The worker threads, and how a media socket gets to the one on which its call lives.
//!
//! A call begins on the thread that answers its webhook; the carrier's socket is accepted by any. So the address of the
//! socket names the worker, `/twilio/media/w3`, and whoever accepts it there hands the bare connection over, before
//! anything of it was read. It refuses to know calls: a name that fits no worker is no name, and the socket stays.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// All workers of a server, in the order in which they started.
#[derive(Default)]
pub struct Workers {
    posts: Mutex<Vec<Post>>,
}

struct Post {
    thread: ThreadId,
    /// As many as connections are accepted, which are bounded; each waits for one turn of the worker's loop.
    parcels: UnboundedSender<Parcel>,
}

/// A connection on its way from one worker to another.
pub(super) struct Parcel {
    stream: std::net::TcpStream,
    /// What the client sent behind its request.
    pub(super) early: Vec<u8>,
    pub(super) path: String,
    pub(super) remote_opt: Option<SocketAddr>,
}

impl Workers {
    /// Signs this thread on. Connections that are handed to it come out of the receiver.
    pub(super) fn sign_on(&self) -> UnboundedReceiver<Parcel> {
        let (parcels, receiver) = unbounded_channel();
        let post = Post { thread: std::thread::current().id(), parcels };
        self.posts().push(post);
        receiver
    }

    /// The last segment of a media socket's path that leads to this thread, if it is a worker.
    pub fn segment(&self, thread: ThreadId) -> Option<String> {
        self.posts().iter().position(|post| post.thread == thread).map(|number| format!("w{number}"))
    }

    /// The worker that `path` names, unless it is this thread.
    pub(super) fn elsewhere(&self, path: &str) -> Option<usize> {
        let number: usize = path.rsplit('/').next()?.strip_prefix('w')?.parse().ok()?;
        let posts = self.posts();
        posts.get(number).filter(|post| post.thread != std::thread::current().id()).map(|_| number)
    }

    /// Hands a connection over; gives it back when that worker has gone.
    pub(super) fn hand(&self, worker: usize, parcel: Parcel) -> Result<(), Parcel> {
        match self.posts().get(worker) {
            Some(post) => post.parcels.send(parcel).map_err(|refused| refused.0),
            None => Err(parcel),
        }
    }

    fn posts(&self) -> std::sync::MutexGuard<'_, Vec<Post>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parcel {
    /// Takes a connection from this thread's event loop.
    pub(super) fn pack(
        stream: TcpStream,
        early: Vec<u8>,
        path: String,
        remote_opt: Option<SocketAddr>,
    ) -> io::Result<Self> {
        Ok(Self { stream: stream.into_std()?, early, path, remote_opt })
    }

    /// Puts the connection into this thread's event loop.
    pub(super) fn unpack(self) -> io::Result<(TcpStream, Vec<u8>, String, Option<SocketAddr>)> {
        Ok((TcpStream::from_std(self.stream)?, self.early, self.path, self.remote_opt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_worker_is_elsewhere() {
        let workers = Workers::default();
        let _here = workers.sign_on();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _there = workers.sign_on();
            });
        });
        assert_eq!(workers.segment(std::thread::current().id()).as_deref(), Some("w0"));
        assert_eq!(workers.elsewhere("/twilio/media/w0"), None);
        assert_eq!(workers.elsewhere("/twilio/media/w1"), Some(1));
        for nowhere in
            ["/twilio/media", "/twilio/media/", "/twilio/media/w2", "/twilio/media/wx", "/twilio/media/7Qm2"]
        {
            assert_eq!(workers.elsewhere(nowhere), None, "{nowhere}");
        }
    }
}
