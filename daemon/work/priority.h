// Which of the daemon's threads the processors go to first.  Nothing here needs a right, and where the kernel refuses,
// nothing but time is lost.
#pragma once

// For the calling thread, one of the loop's: it has a processor as soon as there is something to do.
void priority_quick(void);
// For the calling thread: as most threads of the machine are.
void priority_normal(void);
// For the calling thread, which works long: it steps back behind the others.  Once for each thread.
void priority_low(void);
