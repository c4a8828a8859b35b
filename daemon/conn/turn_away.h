// How a daemon that can't start answers the clients that wait at systemd's socket.
#pragma once

// Refuses the clients at LISTEN_FD, and those that come in the next 20 s.  If none is there, returns at once.
void turn_away(int listen_fd);
