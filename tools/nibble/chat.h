// The conversation with a person at a terminal: lines in, answers out, commands that begin with /.
#pragma once

#include "tools/nibble/conversation.h"

namespace nibble::cli {

// Talks until Ctrl-D or /exit (0), Ctrl-C twice within a second (130), a signal (128 + its number)
// or an output that fails. Ctrl-C stops an answer. `stats`: show them after each answer.
int chat(Conversation* conversation, bool stats);

}  // namespace nibble::cli
