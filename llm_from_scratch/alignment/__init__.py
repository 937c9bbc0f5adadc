"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .actor_critic import ActorCritic
from .advantages import generalized_advantages, kl_rewards, whiten
from .apa import apa_loss, awr_loss
from .attributes import annotated, rating_dialogue, read_attributes, with_attributes, write_attributes
from .best_of import BestOf, best_of_kl, best_of_n, expected_best
from .constitution import CONSTITUTION, Principle, Revision, revise
from .crlft import crlft_loss
from .distillation import cosine_loss, distil, distillation_loss
from .dpo import dpo_loss
from .erasing import explained_dialogues
from .ghost_attention import ghost_dialogues, in_every_turn, in_first_turn
from .hinge import hinge_loss
from .ipo import ipo_loss
from .judging import judged_preferences
from .kto import kto_loss
from .on_policy import Mixture, OnPolicySampler, minillm
from .pairs import encode_answer, encode_pairs
from .ppo import PPO, ppo_loss, ppo_statistics
from .ppo_settings import PPOSettings
from .preference import preference_objective
from .references import check_reference, implicit_rewards, reference_pairs
from .reward_objectives import RewardPairs, RewardRankings, pair_accuracy, pair_example, ranking_example, reward_rows
from .rewards import reward_all_pairs_loss, reward_pair_loss, reward_ranking_loss
from .rollouts import Rollouts
from .safety import combined_scores, count_safety, distilled_context, whitened_scores
from .sampled_answers import sample_answers
from .supervised import noisy_next_token
from .teacher_samples import teacher_dialogues
from .value_head import RewardModel, ValueHead

__all__ = [
    "ActorCritic",
    "BestOf",
    "CONSTITUTION",
    "Mixture",
    "OnPolicySampler",
    "PPO",
    "PPOSettings",
    "Principle",
    "Revision",
    "RewardModel",
    "RewardPairs",
    "RewardRankings",
    "Rollouts",
    "ValueHead",
    "annotated",
    "apa_loss",
    "awr_loss",
    "best_of_kl",
    "best_of_n",
    "check_reference",
    "combined_scores",
    "cosine_loss",
    "count_safety",
    "crlft_loss",
    "distil",
    "distillation_loss",
    "distilled_context",
    "dpo_loss",
    "encode_answer",
    "encode_pairs",
    "expected_best",
    "explained_dialogues",
    "generalized_advantages",
    "ghost_dialogues",
    "hinge_loss",
    "implicit_rewards",
    "in_every_turn",
    "in_first_turn",
    "ipo_loss",
    "judged_preferences",
    "kl_rewards",
    "kto_loss",
    "minillm",
    "noisy_next_token",
    "pair_accuracy",
    "pair_example",
    "ppo_loss",
    "ppo_statistics",
    "preference_objective",
    "ranking_example",
    "rating_dialogue",
    "read_attributes",
    "reference_pairs",
    "revise",
    "reward_all_pairs_loss",
    "reward_pair_loss",
    "reward_ranking_loss",
    "reward_rows",
    "sample_answers",
    "teacher_dialogues",
    "whiten",
    "whitened_scores",
    "with_attributes",
    "write_attributes",
]
