"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .actor_critic import ActorCritic
from .advantages import generalized_advantages, kl_rewards, whiten
from .apa import apa_loss, awr_loss
from .best_of import BestOf, best_of_kl, best_of_n, expected_best
from .constitution import CONSTITUTION, Principle, Revision, revise
from .crlft import crlft_loss
from .distillation import cosine_loss, distil, distillation_loss
from .dpo import dpo_loss
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
from .reward_objectives import RewardPairs, RewardRankings, pair_accuracy, pair_example, ranking_example
from .rewards import reward_all_pairs_loss, reward_pair_loss, reward_ranking_loss
from .rollouts import Rollouts
from .sampled_answers import sample_answers
from .supervised import noisy_next_token
from .teacher_samples import teacher_dialogues
from .value_head import RewardModel, ValueHead

__all__ = [
    "CONSTITUTION",
    "PPO",
    "ActorCritic",
    "BestOf",
    "Mixture",
    "OnPolicySampler",
    "PPOSettings",
    "Principle",
    "Revision",
    "RewardModel",
    "RewardPairs",
    "RewardRankings",
    "Rollouts",
    "ValueHead",
    "apa_loss",
    "awr_loss",
    "best_of_kl",
    "best_of_n",
    "check_reference",
    "cosine_loss",
    "crlft_loss",
    "distil",
    "distillation_loss",
    "dpo_loss",
    "encode_answer",
    "encode_pairs",
    "expected_best",
    "generalized_advantages",
    "hinge_loss",
    "implicit_rewards",
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
    "reference_pairs",
    "revise",
    "reward_all_pairs_loss",
    "reward_pair_loss",
    "reward_ranking_loss",
    "sample_answers",
    "teacher_dialogues",
    "whiten",
]
