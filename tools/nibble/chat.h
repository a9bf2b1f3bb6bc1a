// The conversation with a person at a terminal: lines in, answers out, commands that begin with /.
#pragma once

#include <functional>

#include "tools/nibble/conversation.h"

namespace nibble::cli {

// Talks until Ctrl-D or /exit (0), Ctrl-C twice within a second (130), a signal (128 + its number)
// or an output that fails. Ctrl-C stops an answer. `stats`: show them after each answer.
// `ready` is called once, when every file that a chat needs is open; its error ends the chat.
int chat(Conversation* conversation, bool stats, const std::function<Result<void>()>& ready);

}  // namespace nibble::cli
