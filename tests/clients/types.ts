// What the clients say that servers answer; types.mjs makes JSON Schemas of it.
import type { EmbedResponse, ListResponse, ProgressResponse, ShowResponse } from "ollama";
import type { ChatResponse, GenerateResponse } from "ollama";
import type OpenAI from "openai";

export type Chat = OpenAI.Chat.ChatCompletion;
export type ChatChunk = OpenAI.Chat.ChatCompletionChunk;
export type Text = OpenAI.Completion;
export type ResponseWhole = OpenAI.Responses.Response;
export type ResponseEvent = OpenAI.Responses.ResponseStreamEvent;
export type Embeddings = OpenAI.CreateEmbeddingResponse;
export type ListedModel = OpenAI.Model;
export type OllamaChat = ChatResponse;
export type OllamaText = GenerateResponse;
export type OllamaList = ListResponse;
// (Their model_info is declared as a Map, which JSON does not have.)
export type OllamaShow = Omit<ShowResponse, "model_info">;
export type OllamaEmbed = EmbedResponse;
export type OllamaProgress = ProgressResponse;
