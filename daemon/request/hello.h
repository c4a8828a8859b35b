// Hellos that wait for a connection of their user to end: see the essay in hello.c.
#pragma once

struct user;

// A connection of U that was let in has ended, and is charged for a moment still: until hello_note_ended, which must
// follow when its charge was given back.
void hello_note_ending(struct user *u);
void hello_note_ended(struct user *u);
