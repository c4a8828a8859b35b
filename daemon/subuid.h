// The file /etc/subuid, which lends uids to users: its mistakes, for the log.
#pragma once

// Names the malformed lines in the log, once for each version of the file.  Blocks: on workers only.
void subuid_tell_malformed(void);
