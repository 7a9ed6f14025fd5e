//! The floor: what moving a call's bytes from socket to socket costs when nothing is done to them.
//! It knows neither WebSocket nor audio. One thread, one task per call, like the switch it is compared with.
//!
//! A call through it carries the audio of both directions and a mark per answer. The provider's other events, 17 in 6 s
//! and 5 % of a switch's messages, have no counterpart: the comparison is that much against the switch.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// As the switch reads: its sockets have 4 KiB too.
const BUFFER_BYTES: usize = 4 * 1_024;

/// Copy bytes between sockets, for `tandem storm --floor`.
#[derive(Args, Debug)]
pub(crate) struct RelayOptions {
    /// Where to listen; the address taken is printed as the first line of output.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to connect for each connection accepted.
    #[arg(long)]
    upstream: SocketAddr,
}

/// Relays until it is killed. Must be called outside any async runtime: it brings its own of one thread.
pub(crate) fn run(options: &RelayOptions) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        println!("{}", listener.local_addr()?);
        serve(listener, options.upstream).await?;
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) async fn serve(listener: TcpListener, upstream: SocketAddr) -> std::io::Result<()> {
    loop {
        let (near, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = relay(near, upstream).await {
                eprintln!("relay: {error}");
            }
        });
    }
}

async fn relay(mut near: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut far = TcpStream::connect(upstream).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_and_the_end_of_them_pass_both_ways() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(serve(listener, upstream.local_addr().expect("bound")));

        let mut near = TcpStream::connect(address).await.expect("the relay listens");
        let (mut far, _) = upstream.accept().await.expect("the relay connects");
        let (mut there, mut back) = ([0; 4], Vec::new());
        near.write_all(b"ping").await.expect("written");
        far.read_exact(&mut there).await.expect("read");
        far.write_all(b"pong").await.expect("written");
        drop(far);
        near.read_to_end(&mut back).await.expect("read to the end");
        assert_eq!((&there, back.as_slice()), (b"ping", b"pong".as_slice()));
    }
}
